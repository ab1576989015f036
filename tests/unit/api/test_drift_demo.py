"""The drift demo's pure parts: what it counts, and what it tells."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.api.drift_demo import DemoSettings, DriftDemo, _Tally, told
from raypipe.config.load import parse_config
from raypipe.control.events import (
    AlertRaised,
    AlertSent,
    Evidence,
    Fact,
    GateJudged,
    Promoted,
    PromotionFailed,
    RetrainDecided,
    RetrainFailed,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import record
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
D = "credit-retrain-1"
DECIDED = RetrainDecided(AT, D, "quality", Evidence(), "v1")


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (DECIDED, f"{D} is decided: quality"),
        (RetrainSubmitted(AT, D), f"{D} runs as a Ray job"),
        (
            RetrainSucceeded(AT, D, "v2", "d-2", family="xgboost", cost_cpu_s=81.5),
            f"{D} made v2: xgboost, 81.5 CPU seconds",
        ),
        (RetrainFailed(AT, D, "too few labels"), f"{D} failed: too few labels"),
        (
            GateJudged(AT, D, "v2", "v1", "pass", 400, "auc", 0.61, 0.88, reasons=("better by 0.27",)),
            "the gate says pass: champion 0.6100, challenger 0.8800 (better by 0.27)",
        ),
        (
            GateJudged(AT, D, "v2", "v1", "fail", 0, reasons=("model.ubj differs",)),
            "the gate says fail: champion none, challenger none (model.ubj differs)",
        ),
        (Promoted(AT, D, "v2", 7), "v2 is the champion, epoch 7"),
        (PromotionFailed(AT, D, "v2", "refused"), "v2 was not promoted: refused"),
        (AlertRaised(AT, "k", "quality is low", Evidence()), "alert: quality is low"),
        (AlertSent(AT, "k"), None),
    ],
)
def test_what_a_person_is_told(fact: Fact, line: str | None) -> None:
    assert told(fact) == line


def test_accuracy_is_kept_by_phase() -> None:
    tally = _Tally()
    tally.answered("before", "v1", [True, True, False], [], 0.0)
    tally.answered("during", "v1", [False, False], [], 0.0)
    tally.failed()
    assert [tally.accuracy(phase) for phase in ("before", "during", "after")] == [0.6667, 0.0, None]
    assert (tally.n_requests, tally.n_failed, tally.version) == (3, 1, "v1")


def test_labels_wait_until_they_are_due_and_come_back_where_they_did_not_arrive() -> None:
    tally = _Tally()
    tally.answered("before", "v1", [True, True], ["a", "b"], 10.0)
    tally.answered("before", "v1", [True], ["c"], 11.0)
    assert tally.labels_due(9.9) == []
    assert tally.labels_due(10.0) == ["a", "b"]
    tally.put_back(["a", "b"])
    assert tally.labels_due(11.0) == ["a", "b", "c"]
    assert tally.labels_due(99.0) == []


def test_senders_may_answer_while_the_newest_answers_are_read() -> None:
    tally, stop = _Tally(), threading.Event()

    def send() -> None:
        while not stop.is_set():
            tally.answered("before", "v1", [True] * 50, [], 0.0)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(2_000):
            assert all(tally.newest())
    finally:
        stop.set()
        sender.join()
    assert len(tally.newest()) == 400


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def demo(tmp_path: Path, said: list[str]) -> DriftDemo:
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
    return DriftDemo(config, registry, DemoSettings(), said.append)


def test_only_what_follows_the_change_is_timed(demo: DriftDemo) -> None:
    demo._note(DECIDED)
    demo._note(Promoted(AT, D, "v2", 7))
    assert demo._phase == "before"
    early = demo._result()
    assert (early.n_rows_to_trigger, early.trigger_to_champion_s, early.decisions) == (None, None, (D,))
    demo._phase = "during"
    demo._tally.answered("during", "v2", [False] * 40, [], 0.0)
    demo._note(RetrainDecided(AT, "credit-retrain-2", "quality", Evidence(), "v2"))
    demo._tally.answered("during", "v2", [False] * 4, [], 0.0)
    demo._note(RetrainDecided(AT, "credit-retrain-3", "quality", Evidence(), "v2"))
    demo._note(Promoted(AT, "credit-retrain-3", "v3", 9))
    assert demo._phase == "after"
    result = demo._result()
    assert result.n_rows_to_trigger == 40
    assert result.trigger_to_champion_s is not None and result.trigger_to_champion_s >= 0
    assert result.decisions == (D, "credit-retrain-2", "credit-retrain-3")
    assert (result.accuracy_before, result.accuracy_during) == (None, 0.0)


def test_the_ledgers_news_is_told_once(demo: DriftDemo, said: list[str]) -> None:
    record(demo._registry, "credit", DECIDED)
    demo._look()
    demo._look()
    assert [line.split("  ")[-1] for line in said] == [f"{D} is decided: quality"]


def test_rows_change_their_concept_with_the_phase(demo: DriftDemo) -> None:
    def labels(phase: str) -> list[str]:
        demo._phase = phase
        rows = demo._rows()
        return [next(rows)[1] for _ in range(200)]

    before, during = labels("before"), labels("during")
    assert labels("before") == before
    assert sum(a != b for a, b in zip(before, during, strict=True)) > 40


def test_it_goes_on_until_a_champion_is_right_as_often_as_before(demo: DriftDemo) -> None:
    demo._tally.answered("before", "v1", [True] * 9 + [False], [], 0.0)
    demo._phase = "during"
    demo._note(Promoted(AT, D, "v2", 7))
    demo._tally.answered("after", "v2", [True, False] * 10, [], 0.0)
    assert not demo._has_recovered()
    demo._note(Promoted(AT, "credit-retrain-3", "v3", 9))
    assert demo._tally.accuracy("after") is None, "another champion is counted anew"
    demo._tally.answered("after", "v3", [True] * 10, [], 0.0)
    assert demo._has_recovered()
