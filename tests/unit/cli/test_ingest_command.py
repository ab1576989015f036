"""`raypipe ingest`: once, and followed until it is ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.ingest import _until_signalled, seconds
from raypipe.core.errors import ConfigError, SourceError

Command = Callable[..., Any]


def write(config: Path, name: str, *ages: int) -> None:
    lines = ["age,group", *(f"{age},{'AB'[age % 2]}" for age in ages)]
    (config.parent / "rows").mkdir(exist_ok=True)
    (config.parent / "rows" / name).write_text("\n".join(lines) + "\n")


def test_only_new_files_are_read(config: Path, command: Command) -> None:
    write(config, "1.csv", 20, 30)
    first = command("ingest", str(config)).text
    write(config, "2.csv", 41)
    second = command("ingest", str(config)).text
    again = command("ingest", str(config), "--json").json
    assert first.endswith("2 rows; 1 of 1 fragments read for it\n")
    assert second.endswith("3 rows; 1 of 2 fragments read for it\n")
    assert second.startswith(again["id"])
    shown = command("data", "show", again["id"], str(config)).text
    assert "1 of 2 fragments read, 1 known before" in shown
    assert "age     integer" in shown


def test_followed_until_so_many_batches(config: Path, command: Command) -> None:
    write(config, "1.csv", 20, 30)
    found = command("ingest", str(config), "--follow", "--every", "1ms", "--max-batches", "1", "--json").json
    assert found["n_rows"] == 2


def test_without_rows_there_is_a_sentence(config: Path, command: Command) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        command("ingest", str(config))


def test_a_signal_ends_it_after_the_batch_and_a_second_at_once() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with _until_signalled() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(5) and not came
            os.kill(os.getpid(), signal.SIGTERM)
            assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is not None
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("text", "expected"), [("10s", 10), ("500ms", 0.5), ("5m", 300), ("1.5h", 5400), ("7", 7), (" 2s ", 2)]
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds("--every", text) == expected


@pytest.mark.parametrize("text", ["", "s", "10 d", "-1s", "1e3s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--every must be a time such as 10s, 5m or 500ms"):
        seconds("--every", text)
