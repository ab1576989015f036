"""`raypipe backtest`: the table, the page, and what it says of a config that it cannot play."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raypipe.core.errors import ConfigError, DataError
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from tests.unit.backtest.recorded import rows

Command = Callable[..., Any]
CONFIG = """
name: small
home: home
data:
  sources: [{name: files, format: parquet, path: "rows/*.parquet"}]
  label: label
  time: at
training: {families: [linear], metric: accuracy}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    pq.write_table(rows(1_200, changes_at=500), tmp_path / "rows" / "a.parquet")
    file = tmp_path / "small.yaml"
    file.write_text(CONFIG)
    return file


def test_it_prices_the_policy_beside_others_and_registers_nothing(
    config: Path, command: Command, tmp_path: Path
) -> None:
    page = tmp_path / "pages" / "found.html"
    options = ("--looks", "9", "--every", "3", "--label-delay", "1 looks")
    done = command("backtest", str(config), *options, "--out", str(page), "--json")
    assert done.code == 0
    found = done.json
    assert (found["metric"], found["n_history"], found["n_rows"]) == ("accuracy", 300, 900)
    by_name = {one["name"]: one for one in found["policies"]}
    assert list(by_name) == ["loop", "never", "every 3", "naive 1.25"]
    assert by_name["every 3"]["n_fits"] == 2
    assert by_name["loop"]["n_fits"] == len([d for d in by_name["loop"]["decisions"] if d["version"]])
    assert "<svg" in page.read_text()
    registry = Registry(f"sqlite:///{tmp_path / 'home' / 'registry.db'}", FakeClock())
    assert registry.model_versions("small") == ()
    header = command("backtest", str(config), "--looks", "2", "--every", "1").text.splitlines()[2]
    assert header.split() == "policy fits released accuracy better than never CPU s cost".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        (("--looks", "100"), DataError, "older rows to learn from, and 10 newer ones"),
        (("--label-delay", "soon"), ConfigError, "label delay of a backtest must be a number"),
        (("--from", "then"), ConfigError, "--from must be a time"),
        (("--share", "2"), ConfigError, "share of a backtest must be between 0 and 1"),
    ],
)
def test_what_cannot_be_played_is_said_in_a_sentence(
    config: Path, command: Command, options: tuple[str, ...], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        command("backtest", str(config), *options)


def test_rows_need_an_order(config: Path, command: Command) -> None:
    config.write_text(CONFIG.replace("  time: at\n", ""))
    with pytest.raises(ConfigError, match=r"data\.time must name a column for a backtest"):
        command("backtest", str(config))
