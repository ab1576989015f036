from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from raypipe.api.explain import Explanation, explain
from raypipe.api.sizes import Machine
from raypipe.cli.main import app
from raypipe.config.load import load_config
from raypipe.core.errors import ConfigError, TrainingError
from raypipe.pipeline import Loop
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.kept import EndedTrial, RunFolder
from raypipe.training.leaderboard import BASELINE
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.standings import Standing
from raypipe.training.trials import Trials

STAGES = ["collect", "prepare", "encode", "race", "judge", "importance", "register", "release", "serve"]
CONFIG = """
name: credit
home: home
data: {sources: [{name: files, format: parquet, path: "rows/*.parquet"}], label: y}
training: {budget: {trials: 3}, families: [linear, xgboost]}
"""


@contextmanager
def one_cpu() -> Iterator[Trials]:
    yield Trials(1.0, 1)


@dataclass(frozen=True)
class BaselineLoop(Loop):
    """A loop whose race has one runner, and may die when one trial has ended."""

    dies: bool = False

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        model, saved = ConstantModel((0.5, 0.5), None), kept.path / "saved"
        saved.mkdir(exist_ok=True)
        model.save(saved)
        summary = TrialSummary("t1", BASELINE, {}, 0.5, "finished", 1, 0.1)
        ended = kept.keep_trial(EndedTrial(Standing(summary, model.format, saved), (), 0.1))
        if self.dies:
            raise TrainingError("killed")
        return kept.keep_race([ended.standing], [summary])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "raypipe.yaml").write_text(CONFIG)
    (tmp_path / "rows").mkdir()
    for part in range(2):
        write(tmp_path, part, 150)
    return tmp_path


def write(place: Path, part: int, n_rows: int) -> None:
    table = pa.table({"x": list(range(n_rows)), "y": [i % 2 for i in range(n_rows)]})
    parquet.write_table(table, place / "rows" / f"{part}.parquet")


def looped(place: Path, *, dies: bool = False) -> BaselineLoop:
    config = load_config(place / "raypipe.yaml")
    config.root.prepare()
    clock = FakeClock()
    return BaselineLoop(config, Registry(config.root.registry_url, clock), clock, one_cpu, dies=dies)


def explained(place: Path, *, more: str = "", serve: bool = False, force: bool = False) -> Explanation:
    (place / "other.yaml").write_text((place / "raypipe.yaml").read_text() + more)
    return explain(load_config(place / "other.yaml"), machine=Machine(2), serve=serve, force=force)


def actions(found: Explanation) -> dict[str, str]:
    assert [one.stage for one in found.stages] == STAGES
    return {one.stage: one.action for one in found.stages}


def why(found: Explanation, stage: str) -> str:
    return next(one.why for one in found.stages if one.stage == stage)


def state(place: Path) -> dict[str, tuple[bytes, int]]:
    """Return everything that lies below a folder, files with when they were written.

    A reader of the registry maps a file of SQLite's for a moment, so that the folder around it has changed.
    """
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else (b"", 0)
        for path in place.rglob("*")
    }


def test_a_new_project_runs_every_stage(place: Path) -> None:
    found = explained(place)
    assert {stage for stage, action in actions(found).items() if action == "skip"} == {"release", "serve"}
    assert (found.data_version, found.run, found.starts_ray) == (None, None, True)
    stages = {one.stage: one for one in found.stages}
    assert (stages["collect"].n_rows, stages["collect"].what) == (300, "2 pieces of 1 source")
    assert stages["collect"].n_bytes == sum(path.stat().st_size for path in place.glob("rows/*"))
    assert [stages[name].n_rows for name in ("race", "judge", "importance")] == [240, 60, 60]
    assert stages["race"].where == "a private Ray for this run, on this machine"
    assert stages["race"].resources["cpus_per_trial"] == 0.9
    assert stages["race"].resources["max_concurrent"] == 2
    assert stages["encode"].why == "processing.compute is auto, and there are no more than 5,000,000 rows"


def test_what_was_learned_is_known_and_nothing_is_left_to_do(place: Path) -> None:
    outcome = looped(place).run()
    found = explained(place)
    assert set(actions(found).values()) == {"skip"}
    assert (found.data_version, found.run) == (outcome.data.id, outcome.run)
    assert outcome.data.id in why(found, "collect") and "digests" in why(found, "collect")
    assert why(found, "race") == "v1 was learned from the same rows and settings"
    again = actions(explained(place, force=True))
    assert [again[stage] for stage in ("collect", "race", "register")] == ["skip", "run", "run"]


@pytest.mark.parametrize("change", ["a file more", "another file", "where", "label"])
def test_other_rows_or_other_settings_are_not_known(place: Path, change: str) -> None:
    looped(place).run()
    more = ""
    match change:
        case "a file more":
            write(place, 2, 10)
        case "another file":
            write(place, 1, 400)
        case "where":
            text = (place / "raypipe.yaml").read_text()
            (place / "raypipe.yaml").write_text(text.replace("label: y", 'label: y, where: "x > 3"'))
        case "label":
            text = (place / "raypipe.yaml").read_text()
            (place / "raypipe.yaml").write_text(text.replace("label: y", "label: x"))
    found = explained(place, more=more)
    assert found.data_version is None
    assert actions(found)["collect"] == actions(found)["race"] == "run"


def test_rows_of_a_database_are_known_by_their_count(place: Path) -> None:
    """A database tells no bytes, of the rows that stack as of those that are joined."""
    base = sqlite3.connect(place / "base.db")
    base.execute("create table sold(x integer, y integer)")
    base.executemany("insert into sold values (?, ?)", [(i, i % 2) for i in range(30)])
    base.execute("create table more as select x, y + 1 as z from sold")
    base.commit()
    sold = '{name: sold, format: sql, url: "sqlite:///base.db", table: sold}'
    more = '{name: more, format: sql, url: "sqlite:///base.db", table: more, join: {by: [x]}}'
    files = '{name: files, format: parquet, path: "rows/*.parquet"}'
    (place / "raypipe.yaml").write_text(CONFIG.replace(files, f"{sold}, {more}"))
    outcome = looped(place).run()
    assert explained(place).data_version == outcome.data.id
    base.execute("insert into sold values (99, 1)")
    base.commit()
    base.close()
    assert explained(place).data_version is None


def test_other_settings_of_training_keep_the_rows(place: Path) -> None:
    outcome = looped(place).run()
    text = (place / "raypipe.yaml").read_text()
    (place / "raypipe.yaml").write_text(text.replace("trials: 3", "trials: 4"))
    found = explained(place)
    assert found.data_version == outcome.data.id and found.run != outcome.run
    assert actions(found)["collect"] == "skip" and actions(found)["race"] == "run"


def test_what_an_attempt_finished_is_told(place: Path) -> None:
    with pytest.raises(TrainingError):
        looped(place, dies=True).run()
    found = explained(place)
    assert why(found, "race") == "1 of 3 trials were finished before"
    race = next(one for one in found.stages if one.stage == "race")
    assert race.resources["n_trials"] == 2 and race.what.startswith("2 trials of linear, xgboost")


def test_finished_stages_of_an_attempt_are_skipped(place: Path) -> None:
    loop = looped(place)
    registered = loop.run()
    folder = loop.config.folder
    other = replace(loop, config=loop.config.model_copy(update={"name": "other"}))
    with pytest.raises(TrainingError):
        replace(other, dies=True).run()
    assert folder.runs.joinpath(registered.run, "race.json").exists()
    (place / "raypipe.yaml").write_text(CONFIG.replace("name: credit", "name: other"))
    for name in ("race.json", "judge.json"):
        source = folder.runs / registered.run / name
        (other.config.folder.runs / registered.run / name).write_bytes(source.read_bytes())
    found = actions(explained(place))
    assert [found[stage] for stage in ("prepare", "encode", "race", "judge", "importance", "register")] == [
        "run",
        "run",
        "skip",
        "skip",
        "run",
        "run",
    ]


def test_up_releases_and_serves(place: Path) -> None:
    found = explained(place, serve=True)
    assert (actions(found)["release"], actions(found)["serve"]) == ("run", "run")
    serve = next(one for one in found.stages if one.stage == "serve")
    assert serve.resources == {
        "min_replicas": 1,
        "max_replicas": 1,
        "cpus_per_replica": 0.2,
        "starts_ray": True,
    }
    assert serve.where == "a Ray of the home that goes on running, on this machine"
    loop = looped(place)
    loop.releases.release(loop.run().version.version, expected=None, reason="the first")
    assert why(explained(place, serve=True), "release") == "v1 is the champion until `raypipe promote`"


def test_a_cluster_that_is_joined_tells_its_cpus_later(place: Path) -> None:
    found = explained(place, more="cluster: {address: '10.0.0.5:6379'}\n")
    race = next(one for one in found.stages if one.stage == "race")
    assert (race.where, found.starts_ray) == ("the Ray at 10.0.0.5:6379", False)
    assert (race.resources["n_cpus"], race.resources["max_concurrent"]) == (None, "auto")


@pytest.mark.parametrize(
    ("compute", "where"), [("local", "this process"), ("ray", "Ray Data on a private Ray for this run")]
)
def test_where_rows_are_encoded_is_as_told(place: Path, compute: str, where: str) -> None:
    found = explained(place, more=f"processing: {{compute: {compute}}}\n")
    encode = next(one for one in found.stages if one.stage == "encode")
    assert encode.where.startswith(where) and encode.why == "processing.compute says so"


def test_what_would_be_refused_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"must leave at least 0\.1 of the 2 CPUs to training"):
        explained(place, more="serving: {replicas: {max: 10}}\n")


def test_a_source_that_does_not_answer_is_told(place: Path) -> None:
    for path in (place / "rows").iterdir():
        path.unlink()
    found = explained(place)
    collect, encode = found.stages[0], found.stages[2]
    assert (collect.action, collect.n_rows, encode.n_rows) == ("run", None, None)
    assert collect.why.startswith("source files has no file")
    assert encode.what == "turn rows into an unknown number of features"


@pytest.mark.parametrize("command", ["run", "up"])
@pytest.mark.parametrize("before", ["nothing", "a run"])
def test_nothing_is_written(place: Path, command: str, before: str) -> None:
    if before == "a run":
        looped(place).run()
    was = state(place)
    done = CliRunner().invoke(app, [command, str(place / "raypipe.yaml"), "--explain", "--json"])
    assert done.exit_code == 0, done.output
    assert [one["stage"] for one in json.loads(done.stdout)["stages"]] == STAGES
    told = CliRunner().invoke(app, [command, str(place / "raypipe.yaml"), "--explain"])
    assert "nothing was started, and nothing written" in told.stdout
    assert state(place) == was
    assert (place / "home").exists() == (before == "a run")
