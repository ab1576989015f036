"""Simulated rollouts, a few of each kind: good challengers come through, bad ones touch few rows."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmark, once it can be imported."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.rollouts")


def test_good_ones_come_through_and_bad_ones_touch_few_rows(rollouts: ModuleType) -> None:
    found = {row.kind.name: row for row in rollouts.rollouts(4)}
    assert found["as good"].n("promoted") == 4
    assert found["as good, no labels"].n("inconclusive") == 4
    for row in found.values():
        assert all(one.n_rows <= one.allowed for one in row.outcomes)
        assert not row.kind.is_bad or row.n("promoted") == 0
    assert all(one.n_rows == 0 for one in found["twice the loss"].outcomes)
