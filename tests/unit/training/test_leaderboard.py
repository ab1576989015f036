from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from raypipe.training.leaderboard import BASELINE, Interval, Leaderboard, LeaderboardEntry


def entry(family: str, *, behind: Interval | None = None, over: Interval | None = None) -> LeaderboardEntry:
    return LeaderboardEntry(
        family=family,
        trial_id="t1",
        format="linear-safetensors",
        params={"strength": 0.1, "loss": "squared", "n_trees": 3},
        validation=Interval(0.9, 0.88, 0.92),
        test=Interval(0.8, 0.7, 0.9),
        other_metrics={"accuracy": Interval(0.7, 0.6, 0.8)},
        behind_winner=behind,
        over_baseline=over,
        train_s=1.5,
        predict_us=12.0,
        size_bytes=2048,
    )


BOARD = Leaderboard(
    metric="auc",
    larger_is_better=True,
    winner="xgboost",
    entries=(
        entry("xgboost", over=Interval(0.3, 0.2, 0.4)),
        entry("linear", behind=Interval(0.01, -0.01, 0.03), over=Interval(0.1, -0.1, 0.2)),
        entry(BASELINE, behind=Interval(0.3, 0.2, 0.4)),
    ),
    n_validation_rows=100,
    n_test_rows=200,
    resampling="blocks",
)


def test_json_gives_it_back() -> None:
    assert Leaderboard.from_json(json.loads(json.dumps(BOARD.to_json(), allow_nan=False))) == BOARD


def test_an_undefined_score_survives_json() -> None:
    undefined = replace(BOARD.entries[0], test=Interval(math.nan, math.nan, math.nan))
    again = LeaderboardEntry.from_json(json.loads(json.dumps(undefined.to_json(), allow_nan=False)))
    assert math.isnan(again.test.value)


def test_what_the_intervals_say() -> None:
    winner, linear, baseline = BOARD.entries
    assert BOARD.best is winner
    assert [one.tied_with_winner for one in BOARD.entries] == [True, True, False]
    assert [one.beats_baseline for one in BOARD.entries] == [True, False, False]
    assert BOARD.entry("linear") is linear and BOARD.entry(BASELINE) is baseline


def test_a_family_that_did_not_finish_is_not_there() -> None:
    with pytest.raises(KeyError, match="torch"):
        BOARD.entry("torch")


@pytest.mark.parametrize("broken", [None, [], {**dict(BOARD.to_json()), "entries": None}])
def test_json_of_another_shape_is_refused(broken: object) -> None:
    with pytest.raises(ValueError, match="Got"):
        Leaderboard.from_json(broken)
