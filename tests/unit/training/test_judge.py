from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.stats.metrics import METRICS
from raypipe.testing.training import training_set
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.judge import judge
from raypipe.training.leaderboard import BASELINE, Leaderboard
from raypipe.training.race import Candidate, RaceResult, TrainingSet

DATA = training_set(0)


def candidate(folder: Path, family: str, value: float, score: float) -> Candidate:
    home = folder / family
    home.mkdir()
    ConstantModel((), value).save(home)
    return Candidate(family, {}, score, 1.0, home, "constant-json", f"t-{family}")


def judged(candidates: Sequence[Candidate], data: TrainingSet = DATA, **arguments: object) -> Leaderboard:
    given = {"ordered_by_time": False, "seed": 0, **arguments}
    return judge(RaceResult(tuple(candidates), ()), data, data.x_validation, data.y_validation, **given)  # type: ignore[arg-type]


@pytest.fixture
def three(tmp_path: Path) -> list[Candidate]:
    """Constants near and far from the targets, whose validation scores deceive about the two nearest."""
    return [
        candidate(tmp_path, BASELINE, 0.0, 1000.0),
        candidate(tmp_path, "linear", 1000.5, 40.0),
        candidate(tmp_path, "xgboost", 1010.0, 39.0),
    ]


def test_the_best_validation_score_wins_whatever_the_test_rows_say(three: list[Candidate]) -> None:
    board = judged(three)
    assert board.winner == "xgboost"
    assert [entry.family for entry in board.entries] == ["xgboost", "linear", BASELINE]
    assert board.entry("linear").test.value < board.best.test.value


def test_scores_are_the_metrics_and_lie_in_their_intervals(three: list[Candidate]) -> None:
    y = DATA.y_validation.astype(np.float64)
    for entry, value in zip(judged(three).entries, (1010.0, 1000.5, 0.0), strict=True):
        prediction = np.full(len(y), value)
        assert entry.test.value == METRICS["mae"](y, prediction)
        assert entry.test.low < entry.test.value < entry.test.high
        assert entry.other_metrics["rmse"].value == METRICS["rmse"](y, prediction)
        assert set(entry.other_metrics) == {"rmse", "r2"}


def test_differences_are_signed_so_that_more_is_better(three: list[Candidate]) -> None:
    board = judged(three)
    assert board.best.behind_winner is None
    assert board.best.beats_baseline and board.best.over_baseline is not None
    baseline = board.entry(BASELINE)
    assert baseline.over_baseline is None and not baseline.tied_with_winner
    assert baseline.behind_winner is not None and baseline.behind_winner.low > 900


def test_differences_are_paired(tmp_path: Path) -> None:
    """Each row's error changes by at most 1, so the difference varies far less than either error does."""
    pair = [candidate(tmp_path, "xgboost", 1010.0, 1.0), candidate(tmp_path, "linear", 1011.0, 2.0)]
    winner, other = judged(pair).entries
    assert other.behind_winner is not None
    gap_width = other.behind_winner.high - other.behind_winner.low
    assert 0 < gap_width < 0.1 * (winner.test.high - winner.test.low)


def test_equal_seeds_judge_equally(three: list[Candidate]) -> None:
    first, again, other = (judged(three, seed=seed).best.test for seed in (1, 1, 2))
    assert first == again != other


def test_rows_in_time_order_are_drawn_in_blocks(three: list[Candidate]) -> None:
    in_blocks, in_rows = judged(three, ordered_by_time=True), judged(three)
    assert (in_blocks.resampling, in_rows.resampling) == ("blocks", "rows")
    assert in_blocks.best.test.value == in_rows.best.test.value
    assert in_blocks.best.test != in_rows.best.test


def test_latency_is_the_median_of_single_calls_in_microseconds(three: list[Candidate]) -> None:
    readings = iter(range(10_000))
    assert judged(three, timer=lambda: next(readings) * 0.002).best.predict_us == pytest.approx(2000.0)


def test_size_is_that_of_the_files(three: list[Candidate]) -> None:
    size = sum(path.stat().st_size for path in three[2].folder.iterdir())
    assert judged(three).best.size_bytes == size > 0


def test_a_test_part_without_one_class_is_judged_all_the_same(tmp_path: Path) -> None:
    data = training_set(2)
    (tmp_path / "m").mkdir()
    ConstantModel((0.4, 0.6), None).save(tmp_path / "m")
    only = Candidate(BASELINE, {}, 0.5, 0.0, tmp_path / "m", "constant-json", BASELINE)
    board = judged([only], replace(data, y_validation=np.ones_like(data.y_validation)))
    assert math.isnan(board.best.test.value)
    assert board.best.other_metrics["accuracy"].value == 1.0


def test_many_classes_of_which_some_are_absent_have_scores(tmp_path: Path) -> None:
    data = training_set(5)
    (tmp_path / "m").mkdir()
    ConstantModel((0.2,) * 5, None).save(tmp_path / "m")
    only = Candidate(BASELINE, {}, 0.5, 0.0, tmp_path / "m", "constant-json", BASELINE)
    board = judged([only], replace(data, y_validation=np.minimum(data.y_validation, 2)))
    assert board.best.test.value == pytest.approx(math.log(5))
