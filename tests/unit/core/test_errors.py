"""Every error survives the trip through Ray and knows its exit code."""

from __future__ import annotations

import inspect
import pickle

import pytest

from raypipe.core import errors
from raypipe.core.errors import ConfigError, RaypipeError

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RaypipeError)]


@pytest.mark.parametrize("kind", ALL)
def test_pickling_keeps_class_and_text(kind: type[RaypipeError]) -> None:
    again = pickle.loads(pickle.dumps(kind("one sentence.")))
    assert type(again) is kind
    assert str(again) == "one sentence."


@pytest.mark.parametrize("kind", ALL)
def test_exit_codes(kind: type[RaypipeError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, ConfigError) else 1)


@pytest.mark.parametrize("kind", ALL)
def test_each_is_drawn_in_the_tree(kind: type[RaypipeError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__
