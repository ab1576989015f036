"""What a person sees of the importance of columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.config.load import load_config
from raypipe.core.errors import UnknownVersion
from raypipe.core.files import write_json
from raypipe.stats.intervals import Interval
from raypipe.training.importance import IMPORTANCE_NAME, ColumnImportance, Finding, Importance

Command = Callable[..., Any]
LEAK = Finding("leak", "paid alone reaches auc 0.99: is it known before the label is?")


def column(name: str, rank: int, low: float, high: float, *findings: Finding) -> ColumnImportance:
    return ColumnImportance(name, 1, rank, Interval((low + high) / 2, low, high), 0.6, findings)


OLD = Importance("auc", 0.9, 200, 200, 5, (column("age", 1, 0.3, 0.4), column("loan", 2, 0.01, 0.03)))
NEW = Importance(
    "auc",
    0.9,
    200,
    200,
    5,
    (column("paid", 1, 0.4, 0.5, LEAK), column("loan", 2, 0.02, 0.04), column("age", 3, 0.0, 0.02)),
).compared_with("v1", OLD)


@pytest.fixture
def weighed(credit: Path) -> Path:
    folder = load_config(credit).folder
    for version, found in (("v1", OLD), ("v2", NEW)):
        write_json(folder.model(version) / IMPORTANCE_NAME, found.to_json())
    return credit


def test_each_column_is_shown_with_its_move_and_why(weighed: Path, command: Command) -> None:
    lines = command("models", "importance", "v2", str(weighed)).text.splitlines()
    assert [cell.strip() for cell in lines[0].split("  ") if cell.strip()] == [
        "rank",
        "column",
        "features",
        "loss of auc without it",
        "auc alone",
        "in v1",
        "flags",
    ]
    assert lines[1].split()[:3] == ["1", "paid", "1"] and lines[1].split()[-2:] == ["new", "leak"]
    assert "2: 0.02 [0.01, 0.03]" in lines[2] and "moved" not in lines[2]
    assert "1: 0.35 [0.3, 0.4] moved" in lines[3]
    assert lines[4] == f"leak: {LEAK.why}"
    assert lines[5].startswith("auc 0.9. Measured on all 200 validation rows")


def test_the_first_version_has_nothing_to_move_from(weighed: Path, command: Command) -> None:
    header = command("models", "importance", "v1", str(weighed)).text.splitlines()[0]
    assert " in " not in header


def test_show_says_what_matters_most(weighed: Path, command: Command) -> None:
    text = command("models", "show", "v2", str(weighed)).text
    assert "importance (loss of auc without it): paid 0.45, loan 0.03, age 0.01" in text
    assert "leak: paid" in text and "raypipe models importance v2" in text
    assert command("models", "show", "v2", str(weighed), "--json").json["importance"] == NEW.to_json()


def test_what_was_not_measured_is_told(credit: Path, command: Command) -> None:
    assert "was not measured for v2" in command("models", "importance", "v2", str(credit)).text
    assert command("models", "importance", "v2", str(credit), "--json").json is None
    assert command("models", "show", "v2", str(credit), "--json").json["importance"] is None


def test_an_unknown_version_is_refused(credit: Path, command: Command) -> None:
    with pytest.raises(UnknownVersion, match="v9"):
        command("models", "importance", "v9", str(credit))
