"""A home with a data version and two model versions, and a way to run commands on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raypipe.cli.main import app
from raypipe.config.load import load_config
from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.data.versions import BrokenRule, DataVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.data import example_fragment
from raypipe.training.leaderboard import Interval, Leaderboard, LeaderboardEntry

CONFIG = """
name: credit
home: home
data:
  sources: [{name: files, format: csv, path: "rows/*.csv"}]
  label: group
serving: {port: 1}
"""
DATA = DataVersion(
    id="d-0123456789ab",
    parent=None,
    table_version=0,
    columns=(Column("age", "integer", nullable=False), Column("group", "category", nullable=False)),
    unread=(),
    n_rows=1000,
    broken=(BrokenRule("max 120", "age", "quarantine", 7),),
    n_unlabelled=3,
    fragments=(example_fragment(),),
    n_read=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    text: str

    @property
    def json(self) -> Json:
        value: Json = json.loads(self.text)
        return value


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "credit.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def credit(config: Path) -> Path:
    """Return the config of a pipeline with a data version, v1 (champion) and v2 (challenger)."""
    loaded = load_config(config)
    loaded.root.prepare()
    registry = Registry(loaded.root.registry_url, FakeClock())
    registry.add_data_version("credit", DATA)
    for number, family in enumerate(("linear", "xgboost"), 1):
        staged = loaded.folder.root / "staging" / family
        staged.mkdir(parents=True)
        (staged / "model.txt").write_text(family)
        registry.register("credit", staged, loaded.folder.models, _draft(family, number))
    registry.set_alias("credit", "champion", "v1", reason="the first")
    registry.set_alias("credit", "challenger", "v2", reason="the newest")
    return config


@pytest.fixture
def command() -> Callable[..., Result]:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        done = CliRunner().invoke(app, arguments, input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout)

    return run


def leaderboard(family: str) -> Leaderboard:
    """Return a board that `family` wins against the baseline."""
    return Leaderboard("auc", True, family, (_entry(family, 0.9), _entry("baseline", 0.5)), 200, 200)


def _entry(family: str, score: float) -> LeaderboardEntry:
    around = Interval(score, score - 0.02, score + 0.02)
    gain = None if family == "baseline" else Interval(0.4, 0.37, 0.43)
    behind = Interval(0.4, 0.37, 0.43) if family == "baseline" else None
    return LeaderboardEntry(
        family, "t1", "constant-json", {}, around, around, {}, behind, gain, 1.5, 120.0, 4000
    )


def _draft(family: str, number: int) -> ManifestDraft:
    return ManifestDraft(
        pipeline="credit",
        data_version=DATA.id,
        run=f"r-{number:012d}",
        task={"kind": "classification"},
        family=family,
        format="constant-json",
        params={},
        metrics=leaderboard(family).to_json(),
        frameworks={"numpy": "2"},
    )
