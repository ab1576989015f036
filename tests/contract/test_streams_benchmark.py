"""The benchmark of recorded streams, small: fits as its protocol counts them, and none without drift."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.unit.backtest.recorded import rows

ROOT = Path(__file__).parents[2]
N_CHUNKS, CHUNK = 20, 60


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, Any]:
    """Return the benchmark's table, and a small stream whose concept changes half-way."""
    monkeypatch.syspath_prepend(ROOT)
    sets = importlib.import_module("benchmarks.streams.sets")
    table = rows(N_CHUNKS * CHUNK, changes_at=N_CHUNKS * CHUNK // 2)
    ends = tuple(range(CHUNK, N_CHUNKS * CHUNK + 1, CHUNK))
    estimator = "sklearn.tree:DecisionTreeClassifier"
    recorded = sets.Recorded("small", table, "label", "auc", ends, estimator, {"max_depth": 3})
    return importlib.import_module("benchmarks.streams.table"), recorded


def test_fits_are_counted_by_chunks_with_labels(
    streams: tuple[ModuleType, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, recorded = streams
    monkeypatch.setattr(table, "SHIFTED", [one for one in table.SHIFTED if one.period == 2])
    cells = list(table.beside(recorded, [0, 4], tmp_path))
    n_fits = {(one.delay, one.policy): one.n_fits for one in cells}
    assert [n_fits[0, f"every {k}"] for k in (16, 8, 4, 2, 1)] == [2, 3, 5, 9, 17]
    assert [n_fits[4, f"every {k}"] for k in (16, 8, 4, 2, 1)] == [2, 3, 4, 7, 13]
    score = {(one.delay, one.policy): one.score for one in cells}
    assert score[0, "never"] == score[4, "never"] < score[4, "every 1"] < score[0, "every 1"]
    at_once = [one for one in cells if one.delay == 0]
    halves = [one for one in at_once if one.policy.startswith("every 2")]
    assert [one.policy for one in halves] == ["every 2", "every 2 from 1"]
    mean = sum(one.score for one in halves) / 2
    assert table.at_equal_fits(at_once, 9) == pytest.approx(mean)
    assert table.at_equal_fits(at_once, 13) == pytest.approx((mean + score[0, "every 1"]) / 2)


def test_a_fit_learns_from_the_window_and_not_from_what_judges(
    streams: tuple[ModuleType, Any], tmp_path: Path
) -> None:
    table, recorded = streams
    policy = {"triggers": {"new_labels": 240, "harm": "off"}}
    cell, played = table.loop(recorded, 0, "by labels", policy, tmp_path)
    assert cell.n_fits == 1 + len(played.fits[1:]) > 1
    n_history = recorded.stream(0).n_history
    for fit in played.fits:
        assert len(fit.cut.train) <= n_history
        assert not set(fit.cut.train.tolist()) & set(fit.cut.test.tolist())
        assert np.isin(fit.cut.validation, fit.cut.train).all()


def test_rows_in_a_random_order_are_not_retrained_on(streams: tuple[ModuleType, Any], tmp_path: Path) -> None:
    table, recorded = streams
    cell, _ = table.loop(recorded.shuffled(1), 0, "raypipe", {}, tmp_path)
    assert (cell.n_fits, cell.endings) == (1, ())
