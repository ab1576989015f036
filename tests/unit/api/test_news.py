"""What a person who watches is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.api.news import News, told
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
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
from raypipe.control.outcome import write_progress
from raypipe.core.progress import Step
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


@pytest.fixture
def config(tmp_path: Path) -> Config:
    data = {"sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}], "label": "group"}
    found = parse_config({"name": "credit", "home": "home", "data": data}, tmp_path)
    found.root.prepare()
    return found


@pytest.fixture
def registry(config: Config) -> Registry:
    return Registry(config.root.registry_url, FakeClock())


def test_what_is_new_is_told_once_and_handed_on_before(config: Config, registry: Registry) -> None:
    record(registry, "credit", RetrainDecided(AT, "credit-retrain-0", "labels", Evidence(), "v1"))
    news, told_ = News(config, registry), list[object]()
    record(registry, "credit", DECIDED)
    record(registry, "credit", AlertSent(AT, "k"))
    news.tell(told_.append, told_.append)
    news.tell(told_.append, told_.append)
    assert told_ == [DECIDED, f"{D} is decided: quality", AlertSent(AT, "k")]


def test_the_progress_of_the_retrain_under_way_is_told(config: Config, registry: Registry) -> None:
    news, told_ = News(config, registry), list[str]()

    def look() -> list[str]:
        told_.clear()
        news.tell(told_.append, lambda _: None)
        return list(told_)

    write_progress(config.folder, D, Step("train", "1 of 6 trials"))
    assert look() == [], "no retrain is under way"
    record(registry, "credit", RetrainSubmitted(AT, D))
    assert look() == [f"{D} runs as a Ray job", f"{D}: train: 1 of 6 trials"]
    assert look() == []
    write_progress(config.folder, D, Step("judge", "500 test rows"))
    assert look() == [f"{D}: judge: 500 test rows"]
    record(registry, "credit", RetrainFailed(AT, D, "too few labels"))
    write_progress(config.folder, D, Step("judge", "late"))
    assert look() == [f"{D} failed: too few labels"]
