from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raypipe.control.capture_watch import FORGOTTEN_AFTER, INTERVAL, CaptureWatch, Capturing, capture_of
from raypipe.serving import client
from raypipe.serving.config import ServingSettings
from raypipe.serving.spec import EndpointSpec

AT = datetime(2026, 1, 1, tzinfo=UTC)
WELL, FULL = None, "the disk is full."


class Watched:
    """A watch of an endpoint that answers what it is told to, one look after the other."""

    def __init__(self) -> None:
        self.found: Capturing | None = None
        self.at = AT
        self.watch = CaptureWatch("p", lambda: self.found)

    def sees(self, replica: str, n: int, why_not: str | None, after: timedelta = INTERVAL) -> str | None:
        self.at += after
        self.found = Capturing(replica, n, why_not)
        alert = self.watch.look(self.at)
        return None if alert is None else f"{alert.key}: {alert.text}"


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_people_are_told_once_and_when_it_is_over(watched: Watched) -> None:
    assert watched.sees("r1", 7, WELL) is None
    told = watched.sees("r1", 9, FULL)
    assert told == (
        "p/capture/2026-01-01T00:00:10: answers are not captured, and the endpoint goes on answering: "
        "the disk is full."
    )
    assert watched.sees("r1", 20, FULL) is None
    over = watched.sees("r1", 27, WELL)
    assert over == (
        "p/capture/2026-01-01T00:00:10/over: answers are captured again; "
        "since 2026-01-01 00:00:10 UTC, 20 were not"
    )
    assert watched.sees("r1", 27, WELL) is None
    again = watched.sees("r1", 28, FULL)
    assert again is not None
    assert again.startswith("p/capture/2026-01-01T00:00:30: ")


def test_it_is_over_when_no_replica_fails_any_more(watched: Watched) -> None:
    assert watched.sees("r1", 5, FULL) is not None
    assert watched.sees("r2", 0, WELL) is None
    assert watched.sees("r2", 3, FULL) is None
    assert watched.sees("r1", 6, WELL) is None
    over = watched.sees("r2", 4, WELL)
    assert over is not None
    assert over.endswith("10 were not")


def test_a_replica_that_is_heard_of_no_more_is_taken_for_gone(watched: Watched) -> None:
    assert watched.sees("r1", 5, FULL) is not None
    assert watched.sees("r2", 0, WELL) is None
    assert watched.sees("r2", 0, WELL, after=FORGOTTEN_AFTER) is not None


def test_it_looks_every_few_seconds_and_at_once_where_the_clock_went_back(watched: Watched) -> None:
    assert watched.sees("r1", 0, WELL) is None
    assert watched.sees("r1", 1, FULL, after=INTERVAL / 2) is None
    assert watched.sees("r1", 1, FULL, after=-INTERVAL) is not None


def test_an_endpoint_that_does_not_answer_says_nothing_of_its_capture(watched: Watched) -> None:
    assert watched.watch.look(AT) is None


@pytest.mark.parametrize(
    ("capture", "found"),
    [
        ({"enabled": True, "n_not_captured": 3, "why_not": "full"}, Capturing("r1", 3, "full")),
        ({"enabled": True, "n_not_captured": 0, "why_not": None}, Capturing("r1", 0, None)),
        ({"enabled": False, "n_not_captured": 0, "why_not": None}, None),
        ({"n": 1}, None),
        (None, None),
    ],
)
def test_what_a_replica_says(
    capture: object, found: Capturing | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(*_: object) -> client.EndpointStatus:
        return client.EndpointStatus("v1", 1, "r1", None, None, {"capture": capture})  # type: ignore[dict-item]

    monkeypatch.setattr(client, "read_status", status)
    assert capture_of(EndpointSpec("p", tmp_path, ServingSettings()))() == found


def test_where_none_answers(tmp_path: Path) -> None:
    assert capture_of(EndpointSpec("p", tmp_path, ServingSettings(port=9)))() is None
