"""`raypipe demo replay`: what is refused before anything is begun, and how its result is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raypipe.api.replay.result import PlayedDecision, ReplayResult
from raypipe.api.replay.scores import Line, Scores
from raypipe.cli.replay import result_lines
from raypipe.control.events import Evidence, Gain, GateJudged
from raypipe.control.receipts import Receipt
from raypipe.core.errors import ConfigError
from raypipe.stats.intervals import Interval

AT = datetime(2026, 1, 1, tzinfo=UTC)
JUDGED = GateJudged(AT, "d-retrain-1", "v2", "v1", "pass", 440, "mae", 135.75, 70.73, Gain(65.0, 53.5, 75.6))


def line(of: str, metric: str, n_rows: int, gain: Interval) -> Line:
    loop, frozen, constant = (Interval(value, value - 1, value + 1) for value in (78.5, 97.0, 176.9))
    return Line(of, metric, n_rows, loop, frozen, constant, gain)


NONE = Interval(1e-7, -1e-7, 1e-7)


RESULT = ReplayResult(
    n_rows=8_689,
    n_requests=869,
    n_failed=1,
    n_rows_refused=2,
    n_labels_refused=0,
    played_s=144.2,
    first_champion="v1",
    versions={"v1": 2_390, "v2": 6_299},
    decisions=(
        PlayedDecision(
            Receipt(
                "d-retrain-1",
                AT,
                "labels",
                Evidence(),
                "v1",
                version="v2",
                family="torch",
                gate=JUDGED,
                ending="promoted",
                ended_at=AT + timedelta(seconds=22.13),
            ),
            2_170,
            datetime(2012, 4, 2, tzinfo=UTC),
        ),
        PlayedDecision(Receipt("d-retrain-2", AT, "quality", Evidence(), "v2"), 3_000, AT),
    ),
    scores=Scores(
        line("all", "mae", 8_687, Interval(18.5, 13.9, 23.1)),
        (line(AT.isoformat(), "mae", 4_343, NONE),),
        (line("v2", "mae", 6_299, Interval(20, 19, 21)),),
        (line("all", "rmse", 8_687, NONE),),
    ),
)


def test_a_result_is_told_as_a_person_reads_it() -> None:
    lines = list(result_lines(RESULT))
    assert lines[:3] == [
        "rows: 8,689 played in 144 s, 2 answered by an error",
        "requests: 869 sent, 1 failed",
        "versions: v1 2,390 rows, v2 6,299 rows",
    ]
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "1 2170 2012-04-02 labels v2 torch 135.8 70.73 65 [53.5, 75.6] promoted 22.1" in text
    assert "2 3000 2026-01-01 quality - - - - open -" in text
    scores = "78.5 [77.5, 79.5] 97 [96, 98] 176.9 [175.9, 177.9]"
    assert f"mae 8687 {scores} 18.5 [13.9, 23.1]" in text
    assert f"from 2026-01-01 4343 {scores} 0 [0, 0]" in text
    assert f"by v2 6299 {scores} 20 [19, 21]" in text
    assert f"rmse 8687 {scores} 0 [0, 0]" in text


def test_a_result_is_json() -> None:
    told: Any = RESULT.to_json()
    assert told["decisions"][0]["gain"] == [65.0, 53.5, 75.6]
    assert (told["decisions"][0]["took_s"], told["decisions"][1]["took_s"]) == (22.1, None)
    assert told["scores"]["whole"]["gain"] == [18.5, 13.9, 23.1]
    assert told["versions"] == {"v1": 2_390, "v2": 6_299}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "yesterday"), r"--from must be a time such as .* Got 'yesterday'"),
        (("--share", "2"), r"share of a replay must be between 0 and 1\. Got 2"),
        ((), r"data\.time must name a column"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_is_begun(
    config: Path, command: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        command("demo", "replay", str(config), *arguments)
    assert not (config.parent / "home").exists()
