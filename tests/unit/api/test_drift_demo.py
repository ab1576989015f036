"""The drift demo's pure parts: what it counts, and when it ends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.api.drift_demo import DemoSettings, DriftDemo, _Accuracy
from raypipe.config.load import parse_config
from raypipe.control.events import Evidence, Promoted, RetrainDecided
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
D = "credit-retrain-1"
DECIDED = RetrainDecided(AT, D, "quality", Evidence(), "v1")


def test_accuracy_is_kept_by_phase() -> None:
    accuracy = _Accuracy()
    accuracy.answered("before", [True, True, False])
    accuracy.answered("during", [False, False])
    assert [accuracy.of(phase) for phase in ("before", "during", "after")] == [0.6667, 0.0, None]


def test_senders_may_answer_while_the_newest_answers_are_read() -> None:
    accuracy, stop = _Accuracy(), threading.Event()

    def send() -> None:
        while not stop.is_set():
            accuracy.answered("before", [True] * 50)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(2_000):
            assert all(accuracy.newest())
    finally:
        stop.set()
        sender.join()
    assert len(accuracy.newest()) == 400


@pytest.fixture
def demo(tmp_path: Path) -> DriftDemo:
    config = parse_config(
        {
            "name": "credit",
            "home": "home",
            "data": {"sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}], "label": "group"},
        },
        tmp_path,
    )
    config.root.prepare()
    registry = Registry(config.root.registry_url, FakeClock())
    return DriftDemo(config, registry, DemoSettings(), lambda _: None)


def test_only_what_follows_the_change_is_timed(demo: DriftDemo) -> None:
    demo._note(DECIDED)
    demo._note(Promoted(AT, D, "v2", 7))
    assert demo._phase == "before"
    early = demo._result()
    assert (early.n_rows_to_trigger, early.trigger_to_champion_s, early.decisions) == (None, None, (D,))
    demo._phase = "during"
    demo._accuracy.answered("during", [False] * 40)
    demo._note(RetrainDecided(AT, "credit-retrain-2", "quality", Evidence(), "v2"))
    demo._accuracy.answered("during", [False] * 4)
    demo._note(RetrainDecided(AT, "credit-retrain-3", "quality", Evidence(), "v2"))
    demo._note(Promoted(AT, "credit-retrain-3", "v3", 9))
    assert demo._phase == "after"
    result = demo._result()
    assert result.n_rows_to_trigger == 40
    assert result.trigger_to_champion_s is not None and result.trigger_to_champion_s >= 0
    assert result.decisions == (D, "credit-retrain-2", "credit-retrain-3")
    assert (result.accuracy_before, result.accuracy_during) == (None, 0.0)


def test_rows_change_their_concept_with_the_phase(demo: DriftDemo) -> None:
    def labels(phase: str) -> list[str]:
        demo._phase = phase
        rows = demo._rows()
        return [next(rows)[1] for _ in range(200)]

    before, during = labels("before"), labels("during")
    assert labels("before") == before
    assert sum(a != b for a, b in zip(before, during, strict=True)) > 40


def test_it_goes_on_until_a_champion_is_right_as_often_as_before(demo: DriftDemo) -> None:
    demo._accuracy.answered("before", [True] * 9 + [False])
    demo._phase = "during"
    demo._note(Promoted(AT, D, "v2", 7))
    demo._accuracy.answered("after", [True, False] * 10)
    assert not demo._has_recovered()
    demo._note(Promoted(AT, "credit-retrain-3", "v3", 9))
    assert demo._accuracy.of("after") is None, "another champion is counted anew"
    demo._accuracy.answered("after", [True] * 10)
    assert demo._has_recovered()
