"""Simulated gates, a few: who is better passes, often by later rows, and who is not does not."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from raypipe.policy.config import GateSettings

ROOT = Path(__file__).parents[2]
SETTINGS = GateSettings(wait_labels=1_000)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmark, once it can be imported."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.gates")


@pytest.mark.parametrize("metric", ["auc", "mae"])
def test_the_better_pass_and_the_others_do_not(gates: ModuleType, metric: str) -> None:
    as_good, better = (
        next(one for one in gates.KINDS if (one.name, one.metric) == (name, metric))
        for name in ("as good", "better")
    )
    found = [gates.gate(better, SETTINGS, seed=seed) for seed in range(6)]
    assert sum(one.verdict == "pass" for one in found) >= 5
    assert sum(one.verdict == "pass" for one in found) > sum(one.first == "pass" for one in found)
    assert any(gates.N_FIRST < one.n_rows < gates.N_FIRST + gates.N_LATER for one in found)
    others = [gates.gate(as_good, SETTINGS, seed=seed) for seed in range(4)]
    assert sum(one.verdict == "pass" for one in others) <= 1


def test_a_line_tells_what_was_wrong(gates: ModuleType) -> None:
    outcome = gates.Outcome("pass", 400, "inconclusive", True)
    line = gates.Row(gates.KINDS[0], 0.0, (outcome, outcome)).line()
    assert "100.0% [15.8%, 100.0%] (wrong)" in line and "| 400, 400 | 0.0% | 100.0% |" in line
