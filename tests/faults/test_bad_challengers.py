"""Challengers that must not serve, as real artifacts on the way of a real retrain: the receipt says why.

Everything is as in production (rows, log, tables, registry, ledger, controller, model folders), but for the
race, whose one model is made here, and for Ray: the job is a call.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import xgboost
from pyarrow import parquet
from typer.testing import CliRunner

from raypipe.cli.main import app
from raypipe.config.load import load_config
from raypipe.control.controller import Controller
from raypipe.control.events import Evidence, WindowScored
from raypipe.control.outcome import Retrained, read_result, write_result
from raypipe.control.people import request_retrain
from raypipe.control.ports import JobState, Ports
from raypipe.control.state import Watching
from raypipe.core.home import PipelineHome
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.synthetic import COLUMNS, AgrawalSettings, generate
from raypipe.data.wal import WalWriter
from raypipe.pipeline import Outcome
from raypipe.policy.config import RetrainAction
from raypipe.registry.store import ModelVersion, Registry
from raypipe.retraining import RetrainingLoop
from raypipe.runtime.job import carry_out
from raypipe.serving.golden import golden_rows
from raypipe.serving.pointer import read_pointer
from raypipe.testing import FakeClock
from raypipe.training.families.xgboost_trees import XgboostFamily, XgboostModel
from raypipe.training.family import Terms
from raypipe.training.kept import RunFolder
from raypipe.training.models import Float32Matrix, Model
from raypipe.training.prepared import Prepared
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.standings import Standing
from raypipe.training.trials import Trials

N_HISTORY, N_LIVE = 1_500, 900
START = datetime(2026, 1, 31, tzinfo=UTC)
CONFIG = {
    "name": "credit",
    "home": "home",
    "data": {
        "sources": [{"name": "files", "format": "parquet", "path": "rows.parquet"}],
        "label": "group",
    },
    "training": {"families": ["xgboost"], "metric": "auc"},
    "retraining": {"triggers": {"drift": "off"}, "cool_down_s": 0},
    "serving": {"port": 1},
}


def good(data: TrainingSet, _: Prepared) -> XgboostModel:
    newest = data.recent(min(data.windows, default=len(data.y_train)))
    family = XgboostFamily()
    defaults = {one.name: one.default for one in family.space(data.task)}
    *_, (_, model) = family.train(defaults, newest, Terms(n_rungs=1, seed=0, n_threads=1))
    assert isinstance(model, XgboostModel)
    return model


def worse(data: TrainingSet, prepared: Prepared) -> Model:
    return good(replace(data, y_train=1 - data.y_train), prepared)


def nowhere_a_number(data: TrainingSet, prepared: Prepared) -> Model:
    model = good(data, prepared)
    return without_numbers(model, 0, set(leaves_of(model, data.x_train)[:, 0]))


def sometimes_no_number(data: TrainingSet, prepared: Prepared) -> Model:
    """Spoil a leaf that rows of the gate come to, and no golden one."""
    model, test, transform = good(data, prepared), prepared.split.test, prepared.transform
    judging = leaves_of(model, transform.transform_table(test))
    golden = leaves_of(model, transform.transform_rows(golden_rows(test, transform.inputs)))
    tree, leaf = next(
        (tree, leaf)
        for tree in range(judging.shape[1])
        for leaf in set(judging[:, tree]) - set(golden[:, tree])
    )
    return without_numbers(model, tree, {leaf})


def leaves_of(model: XgboostModel, features: Float32Matrix) -> Float32Matrix:
    """Return the leaf that each row comes to in each tree."""
    found: Float32Matrix = model._booster.predict(xgboost.DMatrix(features), pred_leaf=True)
    return found


def without_numbers(model: XgboostModel, tree: int, leaves: set[float]) -> Model:
    """Return the model with NaN in some leaves of a tree."""
    content = json.loads(bytes(model._booster.save_raw("json")))
    found = content["learner"]["gradient_booster"]["model"]["trees"][tree]
    for leaf in leaves:
        found["split_conditions"][int(leaf)] = found["base_weights"][int(leaf)] = float("nan")
    broken = xgboost.Booster()
    broken.load_model(bytearray(json.dumps(content).encode()))
    return XgboostModel(broken)


def untouched(_: PipelineHome, __: str) -> None:
    """Damage nothing."""


def cut(folder: PipelineHome, version: str) -> None:
    path = folder.model(version) / "model" / "model.ubj"
    path.write_bytes(path.read_bytes()[:-100])


Damage = Callable[[PipelineHome, str], None]
Make = Callable[[TrainingSet, Prepared], Model]


@dataclass(frozen=True)
class OneModelLoop(RetrainingLoop):
    """A loop whose race has one runner."""

    make: Make = good
    registered: Damage = untouched
    """What befalls a version between its registration and its comparison."""
    prepared: list[Prepared] = field(default_factory=list)

    def encode(self, prepared: Prepared, place: Path) -> TrainingSet:
        self.prepared.append(prepared)
        return super().encode(prepared, place)

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        folder = kept.path / "best"
        folder.mkdir()
        model = self.make(features, self.prepared[-1])
        model.save(folder)
        summary = TrialSummary("t1", "xgboost", {}, 0.5, "finished", 9, 0.5)
        return kept.keep_race([Standing(summary, model.format, folder)], [summary])

    def retrain(self, decision: str, action: RetrainAction = "retrain") -> tuple[Outcome, Prepared]:
        outcome, prepared = super().retrain(decision, action)
        self.registered(self.config.folder, outcome.version.version)
        return outcome, prepared


@dataclass
class Shell:
    """What the controller acts through; the job of a decision is done when it is submitted."""

    loop: RetrainingLoop
    judged: Damage
    """What befalls a version between its comparison and its release."""
    told: list[str] = field(default_factory=list)

    def submit(self, decision: str) -> None:
        made = carry_out(self.loop, decision)
        write_result(self.loop.config.folder, decision, made)
        if made.version is not None:
            self.judged(self.loop.config.folder, made.version)

    def state(self, decision: str) -> JobState:
        found = self.result(decision)
        return "failed" if found is None or found.version is None else "succeeded"

    def stop(self, decision: str) -> None:
        raise AssertionError(f"nobody stops {decision}")

    def result(self, decision: str) -> Retrained | None:
        return read_result(self.loop.config.folder, decision)

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        return None

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        releases = replace(self.loop.releases, controller=controller)
        return releases.promote(version, expected=expected, reason=reason).pointer.epoch

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        self.told.append(text)
        return True


@dataclass(frozen=True)
class Project:
    """A project whose champion is v1, and whose live rows follow another concept since."""

    place: Path

    @property
    def loop(self) -> OneModelLoop:
        config = load_config(self.place / "raypipe.yaml")
        config.root.prepare()
        registry = Registry(config.root.registry_url, FakeClock())
        return OneModelLoop(config, registry, FakeClock(), lambda: nullcontext(Trials(1.0, 1)))

    def retrain(
        self,
        make: Make = good,
        registered: Damage = untouched,
        judged: Damage = untouched,
    ) -> Shell:
        """Let a person ask for a retrain, and the controller see it to its end."""
        loop = replace(self.loop, make=make, registered=registered)
        shell = Shell(loop, judged)
        settings, name = loop.config.retraining, loop.config.name
        ports = Ports(jobs=shell, traffic=shell, releases=shell, alerts=shell)
        controller = Controller(name, settings, loop.registry, loop.clock, ports)
        controller.start()
        request_retrain(loop.registry, name, loop.clock, by="ann")
        for _ in range(4):
            controller.tick()
        assert isinstance(controller.state.phase, Watching)
        return shell

    def why(self, subject: str = "credit-retrain-1") -> str:
        """Return what `raypipe why` tells a person."""
        done = CliRunner().invoke(app, ["why", subject, str(self.place / "raypipe.yaml")])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    @property
    def champions(self) -> list[str]:
        """All that ever were champion, the newest first; the pointer follows the newest."""
        loop = self.loop
        pointer = read_pointer(loop.config.folder.pointer)
        found = [change.version for change in loop.registry.alias_history("credit", "champion")]
        assert pointer is not None and pointer.version == found[0]
        return found

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        return self.loop.registry.model_versions("credit")


def rows(n_rows: int, concept: int, seed: int) -> pa.Table:
    return generate(AgrawalSettings(((n_rows, concept),), seed=seed)).select([*COLUMNS, "group"])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("first")
    parquet.write_table(rows(N_HISTORY, 2, 1), place / "rows.parquet")
    (place / "raypipe.yaml").write_text(json.dumps(CONFIG))
    loop = Project(place).loop
    version = loop.run().version.version
    loop.releases.release(version, expected=None, reason="the first")
    writer = WalWriter(loop.config.folder.wal, "s1", loop.clock)
    writer.open()
    for n, row in enumerate(rows(N_LIVE, 3, 2).to_pylist()):
        at, label = START + timedelta(seconds=n), row.pop("group")
        answer = PredictionRecord(f"s1-{n}", at, version, "champion", json.dumps(row), "A", (0.9, 0.1))
        writer.append_all([encode(answer), encode(LabelRecord(answer.id, label, at))])
    writer.close()
    commit_once(loop.config.folder)
    return place


@pytest.fixture
def project(first: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(first, tmp_path / "project"))


def test_a_good_one_is_promoted(project: Project) -> None:
    """Or else the others would show nothing."""
    project.retrain()
    assert project.champions == ["v2", "v1"]
    assert project.why("v2").startswith("credit-retrain-1: promoted")


def test_one_whose_files_are_damaged_before_the_gate(project: Project) -> None:
    shell = project.retrain(registered=cut)
    assert project.champions == ["v1"]
    told = project.why("v2")
    assert told.startswith("credit-retrain-1: not better (the challenger v2 cannot be scored: ")
    assert "model.ubj is truncated" in told and "gate fail: auc none against 0." in told
    assert any("v1 stays, v2 did not pass its gate" in text for text in shell.told)


def test_one_whose_files_are_damaged_before_the_swap(project: Project) -> None:
    """It passed, and no endpoint is up that could refuse it."""
    shell = project.retrain(judged=cut)
    assert project.champions == ["v1"]
    told = project.why("v2")
    assert told.startswith("credit-retrain-1: promotion failed (v2 was refused, and v1 stays the champion: ")
    assert "model.ubj is truncated" in told and "gate pass" in told
    assert any("v2 of credit-retrain-1 could not be promoted" in text for text in shell.told)


def test_one_that_answers_some_rows_with_nan(project: Project) -> None:
    project.retrain(sometimes_no_number)
    assert project.champions == ["v1"]
    told = project.why("v2")
    assert told.startswith("credit-retrain-1: not better (the challenger v2 cannot be scored: ")
    assert "answers are no finite numbers" in told


def test_one_that_answers_nan_alone_is_not_even_registered(project: Project) -> None:
    project.retrain(nowhere_a_number)
    assert project.champions == ["v1"]
    assert [version.version for version in project.versions] == ["v1"]
    told = project.why()
    assert told.startswith(
        "credit-retrain-1: failed (row 0 of the golden rows must be answered with a finite"
    )


def test_one_that_is_worse(project: Project) -> None:
    project.retrain(worse)
    assert project.champions == ["v1"]
    assert project.why("v2").startswith("credit-retrain-1: not better (better by -0.")


def test_a_champion_that_cannot_be_loaded_is_not_held_against_the_challenger(project: Project) -> None:
    """Nothing was compared, so it stays; receipt and alert name the damage, and the way out works."""
    cut(project.loop.config.folder, "v1")
    shell = project.retrain()
    assert project.champions == ["v1"]
    told = project.why("v2")
    assert told.startswith("credit-retrain-1: inconclusive (the champion v1 cannot be scored, so nothing was")
    assert "v1/model/model.ubj is truncated" in told and "release v2 by hand" in told
    assert "gate inconclusive: auc 0.9" in told and "against none of v1" in told
    assert any("the champion v1 cannot be scored" in text for text in shell.told)
    done = CliRunner().invoke(app, ["promote", "v2", str(project.place / "raypipe.yaml")])
    assert done.exit_code == 0, done.output
    assert project.champions == ["v2", "v1"]
