"""`retrain`, `approve`, `reject`, `why`, `watch`."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.signals import window_lines
from raypipe.config.load import load_config
from raypipe.control.events import (
    ControllerStarted,
    Evidence,
    Fact,
    GateJudged,
    RetrainDecided,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import read_facts, record
from raypipe.core.errors import ConfigError, RegistryError, UnknownVersion
from raypipe.core.files import write_json
from raypipe.monitoring.report import (
    ColumnEvidence,
    FeatureDrift,
    LabelCounts,
    LiveQuality,
    Signals,
    WindowReport,
)
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.monitoring import some_signals

Command = Callable[..., Any]
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
DECISION = "credit-retrain-1"
QUALITY = LiveQuality("accuracy", 0.61, 0.57, 0.65, 500, 0, ())
EVIDENCE = (
    ColumnEvidence("age", 0.01, 0.02, 400, 2.0, 8.0, 1.0, False, True, 1.0),
    ColumnEvidence("loan", 0.5, 0.3, 400, 90.0, 8.0, 99.0, True, True, 1.0),
)
WINDOW = WindowReport(
    AT,
    "v1",
    2_000,
    900,
    QUALITY,
    (
        FeatureDrift("age", 0.01, 0.02, 2_000, 0.0, 0.0, False),
        FeatureDrift("loan", 0.41, 0.3, 2_000, 0.125, 0.0, True),
        FeatureDrift("empty", None, None, 0, 1.0, 0.0, False),
    ),
    LabelCounts(),
    Signals(5_000, EVIDENCE),
)
WAITS: tuple[Fact, ...] = (
    ControllerStarted(AT, 9, controller=9),
    RetrainDecided(AT, DECISION, "hand", Evidence(by="ann", note="new fares"), "v1", controller=9),
    RetrainSubmitted(AT, DECISION, controller=9),
    RetrainSucceeded(AT, DECISION, "v2", "d-2", "d-1", "xgboost", controller=9),
    GateJudged(AT, DECISION, "v2", "v1", "pass", 400, "accuracy", 0.6, 0.9, controller=9),
)


@pytest.fixture
def registry(credit: Path) -> Registry:
    return Registry(load_config(credit).root.registry_url, FakeClock())


@pytest.fixture
def waits(registry: Registry) -> Registry:
    for fact in WAITS:
        record(registry, "credit", fact)
    return registry


def newest(registry: Registry) -> Fact:
    return read_facts(registry, "credit")[-1][1]


def test_retrain_asks_the_controller(credit: Path, registry: Registry, command: Command) -> None:
    assert "asked" in command("retrain", str(credit), "--note", "new fares").text
    asked = newest(registry)
    assert isinstance(asked, RetrainRequested)
    assert (asked.by, asked.note) == (getpass.getuser(), "new fares")
    assert command("retrain", str(credit), "--json").json == {"requested": True, "action": "retrain"}
    command("retrain", str(credit), "--action", "rollback")
    asked = newest(registry)
    assert isinstance(asked, RetrainRequested) and asked.action == "rollback"
    with pytest.raises(ConfigError, match=r"--action must be one of .*rollback\. Got 'rerun'"):
        command("retrain", str(credit), "--action", "rerun")


@pytest.mark.parametrize(("word", "kind"), [("approve", "approved"), ("reject", "rejected")])
def test_a_challenger_that_waits_is_answered(
    credit: Path, waits: Registry, command: Command, word: str, kind: str
) -> None:
    assert command(word, "v2", str(credit), "--note", "as agreed").text == f"v2 is {kind}.\n"
    assert (type(newest(waits)).__name__.lower(), newest(waits).at.tzinfo) == (kind, UTC)
    with pytest.raises(RegistryError, match="none of credit does"):
        command(word, "v2", str(credit), "--json")


def test_another_version_is_not_answered(credit: Path, waits: Registry, command: Command) -> None:
    with pytest.raises(RegistryError, match=r"\(v2 of credit does\)\. Got 'v1'"):
        command("approve", "v1", str(credit))
    assert newest(waits) == WAITS[-1]


@pytest.mark.parametrize("subject", ["v2", DECISION])
def test_why_shows_the_receipt(credit: Path, waits: Registry, command: Command, subject: str) -> None:
    text = command("why", subject, str(credit)).text
    assert text.startswith(f"{DECISION}: ") and "new fares" in text and "0.9 against 0.6 of v1" in text
    receipt = command("why", subject, str(credit), "--json").json
    assert (receipt["decision"], receipt["version"], receipt["champion"]) == (DECISION, "v2", "v1")


@pytest.mark.parametrize("subject", ["v1", "v9", "credit-retrain-2"])
def test_what_no_retrain_made_has_no_receipt(
    credit: Path, waits: Registry, command: Command, subject: str
) -> None:
    with pytest.raises(UnknownVersion, match=f"no retrain of credit made '{subject}'"):
        command("why", subject, str(credit))


def test_watch_shows_the_newest_window(credit: Path, command: Command) -> None:
    write_json(load_config(credit).folder.window, WINDOW.to_json())
    lines = command("watch", str(credit), "--once").text.splitlines()
    assert lines[: len(list(window_lines(WINDOW)))] == list(window_lines(WINDOW))
    assert "drift    alert" in "\n".join(lines)
    shown = command("watch", str(credit), "--once", "--json").json
    outlook = shown.pop("outlook")
    assert WindowReport.from_json(shown) == WINDOW
    assert [one["trigger"] for one in outlook["triggers"]] == ["harm", "drift"]


def test_watch_says_that_nothing_was_measured_yet(credit: Path, command: Command) -> None:
    assert "nothing was measured yet" in command("watch", str(credit), "--once").text
    assert command("watch", str(credit), "--once", "--json").json is None


def test_a_window_as_a_person_reads_it() -> None:
    lines = list(window_lines(WINDOW))
    assert lines[:2] == [
        "12:00:00  v1: 2,000 rows, 900 labelled",
        "  live accuracy: 0.61 [0.57, 0.65] on 500 labels (measured)",
    ]
    assert [line.split() for line in lines[2:]] == [
        ["column", "PSI", "missing", "evidence"],
        ["loan", "0.410", "12.5%", "100%", "drifted"],
        ["age", "0.010", "0.0%", "25%", "changed,", "perhaps"],
        ["empty", "-", "100.0%", "-"],
    ]


@pytest.mark.parametrize("quality", [None, replace(QUALITY, value=None, low=None, high=None)])
def test_quality_that_is_not_defined_is_no_number(quality: LiveQuality | None) -> None:
    lines = list(window_lines(replace(WINDOW, quality=quality)))
    assert lines[1] == "  live quality: too few labels yet"


def test_a_score_without_an_interval_stands_alone() -> None:
    lines = list(window_lines(replace(WINDOW, quality=replace(QUALITY, low=None, high=None))))
    assert lines[1] == "  live accuracy: 0.61 on 500 labels (measured)"


def test_what_is_measured_and_what_is_estimated_is_told_apart() -> None:
    lines = [line.strip() for line in window_lines(replace(WINDOW, signals=some_signals()))]
    assert "error: 0.11 [0.09, 0.13] on 1,200 rows (estimated); labels so far say 0.12" in lines
    assert "no harm: mean loss 0.11 on 800 labels, 0.1 at release, evidence 25% (measured)" in lines
    assert "harm of car = bus: mean loss 0.4 on 90 labels, 0.1 at release, evidence 100% (measured)" in lines
    [bounds] = [line for line in lines if "whatever missing labels say" in line]
    assert bounds.startswith("loss between 0.088 and 0.288") and "80.0% of 1,000" in bounds
    assert "answer.class: changed, perhaps, evidence 25% (measured)" in lines
