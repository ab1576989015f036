"""Commands that only read: what they print for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.config.load import load_config
from raypipe.core.errors import ConfigError, UnknownVersion
from raypipe.core.files import write_json

Command = Callable[..., Any]


def test_data_log_lists_versions(credit: Path, command: Command) -> None:
    result = command("data", "log", str(credit))
    header, row = result.text.splitlines()
    named = ["version", "created", "rows", "broken", "unlabelled", "fragments", "parent", "state"]
    assert header.split() == named
    assert row.split() == ["d-0123456789ab", "2026-01-01", "00:00:00", "1,000", "7", "3", "1"]


def test_data_log_as_json_is_what_the_registry_holds(credit: Path, command: Command) -> None:
    (version,) = command("data", "log", str(credit), "--json").json
    assert (version["id"], version["n_rows"]) == ("d-0123456789ab", 1000)


def test_data_show_tells_what_was_left_out_and_the_profile(credit: Path, command: Command) -> None:
    summary = {
        "n_nulls": 1,
        "n_nan": 0,
        "n_distinct": 60,
        "min": 18.0,
        "max": 99.0,
        "quantiles": {"0.5": 41.0},
    }
    profile = {
        "columns": [
            {"column": {"name": "age", "kind": "integer"}, "summary": {**summary, "top": [["18", 30]]}}
        ]
    }
    write_json(load_config(credit).folder.profile("d-0123456789ab"), profile)
    lines = command("data", "show", "d-0123456789ab", str(credit)).text.splitlines()
    assert "left out: 3 rows without a label" in lines
    assert "1 of 1 fragments read, 0 known before" in lines
    assert "quarantine: 7 rows where age breaks max 120" in lines
    assert lines[-1].split() == ["age", "integer", "1", "60", "18", "41", "99", "18", "(30)"]


def test_an_unknown_data_version_is_refused(credit: Path, command: Command) -> None:
    with pytest.raises(UnknownVersion, match=r"Got 'd-none'\."):
        command("data", "show", "d-none", str(credit))


def test_models_list_names_aliases_and_scores(credit: Path, command: Command) -> None:
    _, newest, oldest = command("models", "list", str(credit)).text.splitlines()
    assert newest.startswith("v2") and "challenger" in newest and "auc 0.9 [0.88, 0.92]" in newest
    assert oldest.startswith("v1") and "champion" in oldest


def test_models_show_prints_the_leaderboard(credit: Path, command: Command) -> None:
    text = command("models", "show", "v2", str(credit)).text
    assert "v2 (challenger): xgboost" in text
    assert "xgboost *" in text and "baseline" in text and "behind" in text
    assert "judged once on 200 test rows" in text


def test_models_show_refuses_an_unknown_version(credit: Path, command: Command) -> None:
    with pytest.raises(UnknownVersion, match="v9"):
        command("models", "show", "v9", str(credit))


def test_history_is_newest_first(credit: Path, command: Command) -> None:
    entries = command("history", str(credit), "--json").json
    assert [entry["seq"] for entry in entries] == sorted((e["seq"] for e in entries), reverse=True)
    assert entries[0]["subject"] == "challenger"
    assert len(command("history", str(credit), "--limit", "2").text.splitlines()) == 3


def test_status_says_why_no_endpoint_answers(credit: Path, command: Command) -> None:
    status = command("status", str(credit), "--json").json
    assert (status["champion"], status["challenger"], status["endpoint"]) == ("v1", "v2", None)
    assert "no version was released yet" in status["because"]
    assert "champion     v1" in command("status", str(credit)).text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "log"], "no data version yet"),
        (["models", "list"], "no model version yet"),
        (["history"], "nothing happened yet"),
        (["status"], "champion     none yet"),
    ],
)
def test_a_new_home_says_what_to_do(config: Path, command: Command, arguments: list[str], words: str) -> None:
    assert words in command(*arguments, str(config)).text
    assert not (config.parent / "home").exists(), "a command that reads must not write"


def test_a_missing_config_is_told(command: Command, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        command("status", str(tmp_path / "none.yaml"))


def test_wrong_usage_has_exit_code_two(command: Command) -> None:
    assert command("history", "x.yaml", "--limit", "0").code == 2
    assert command("no-such-command").code == 2
