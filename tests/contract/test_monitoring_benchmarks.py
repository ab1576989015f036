"""The benchmarks of monitoring run, small, and measure what raypipe does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift import Counts
from raypipe.monitoring.drift_evidence import Budget, DriftState, evidence, update
from raypipe.monitoring.reference import Reference

ROOT = Path(__file__).parents[2]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return modules of the package, once it can be imported."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.monitoring.{name}")


def test_all_windows_at_once_are_those_folded_one_by_one(part: Callable[[str], ModuleType]) -> None:
    random = np.random.default_rng(0)
    rows = pa.table({"x": random.normal(size=2_000), "c": random.choice(list("abc"), 2_000)})
    reference = Reference.of(Profile.of_table(rows), schema_columns(rows.schema))
    shares = [np.array(one.counts) / one.n_rows for one in reference.columns]
    windows = [random.multinomial(100, one, size=9).astype(float) for one in shares]
    life, recent = part("streams").evidence_by_window(reference, windows, Budget())
    state = DriftState()
    for t in range(9):
        state = update(state, Counts(tuple(tuple(one[t].astype(int).tolist()) for one in windows)))
        found = evidence(reference, state, Budget())
        assert [one.log_life for one in found] == pytest.approx(life[t].tolist())
        assert [one.log_recent for one in found] == pytest.approx(recent[t].tolist())


@pytest.mark.parametrize("whole_rows", [False, True])
def test_streams_without_drift_alarm_by_what_is_done_today(
    part: Callable[[str], ModuleType],
    real_data: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    whole_rows: bool,
) -> None:
    folders = {real_data(f"{name}.parquet").parent for name in part("streams").FILES}
    monkeypatch.setenv("RAYPIPE_TEST_DATA", str(folders.pop()))
    false_alarms = part("false_alarms")
    setting = false_alarms.Setting(
        n_streams=2,
        n_features=20,
        n_windows=8,
        window_rows=6_000,
        n_reference=2_000,
        run_rows=1 if whole_rows else 5,
        whole_rows=whole_rows,
    )
    found = {row.method: row for row in false_alarms.false_alarms(setting)}
    assert found["raypipe, alpha 5%, tolerance PSI 0.02 (default)"].n_alarmed == 0
    if not whole_rows:  # these come in runs
        assert found["chi-squared, p < .05 / features, in any window"].n_alarmed == 2
    assert all(row.line().count("|") == 4 for row in found.values())


def test_the_state_is_a_few_kilobytes_a_feature(part: Callable[[str], ModuleType]) -> None:
    line = part("cost").cost(20_000, 1_000)
    assert float(line.split("|")[5]) < 4


def test_labels_that_come_late_cost_time_and_no_false_alarm(part: Callable[[str], ModuleType]) -> None:
    lines = list(part("late_labels").table(n_streams=2, n_answers=4_000, healthy=2_000))
    assert len(lines) == 9
    by_cohorts = [line for line in lines if "by matured cohorts" in line]
    assert all("| 0 of 2 |" in line for line in by_cohorts)


def test_weeks_of_recorded_rows(
    part: Callable[[str], ModuleType], real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = part("blocks")
    folders = {real_data(f"{name}.parquet").parent for name in blocks.SETS}
    monkeypatch.setenv("RAYPIPE_TEST_DATA", str(folders.pop()))
    monkeypatch.setattr(blocks, "N_WINDOWS", 8)
    lines = list(blocks.table(1))
    assert len(lines) == 3 * len(blocks.SETS)
    assert all("| 0 of 1 |" in line for line in lines if "as training rows in order show" in line)
    assert all("| 1 of 1 |" in line for line in lines if "each row for itself" in line)


def test_costs_are_of_what_the_controller_does(part: Callable[[str], ModuleType]) -> None:
    cost = part("cost")
    found = {task: (cpu_s, state_kb) for task, cpu_s, _, state_kb in cost.own(cost.arrays(20_000))}
    assert list(found) == ["drift of 20 columns", "harm, 200 cohorts", "estimated accuracy"]
    assert found["drift of 20 columns"][1] < 4 * 20, "a few kilobytes a column"
    assert found["harm, 200 cohorts"][1] < 20
