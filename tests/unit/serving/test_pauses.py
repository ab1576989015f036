from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from raypipe.serving.pauses import SWITCH_INTERVAL_S, keep_pauses_short


@pytest.fixture
def as_before() -> Iterator[None]:
    interval_s = sys.getswitchinterval()
    yield
    gc.unfreeze()
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("as_before")
def test_what_is_loaded_is_not_looked_at_again() -> None:
    loaded = [[number] for number in range(1_000)]
    keep_pauses_short()
    assert gc.get_freeze_count() > len(loaded)
    assert not any(one is loaded for one in gc.get_objects())
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
