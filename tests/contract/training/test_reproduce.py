"""A version learned anew from what is recorded of it: who comes to the same bits, and what is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from raypipe.api.pipeline import Pipeline
from raypipe.api.reproduce import Reproduced, reproduce
from raypipe.cli.main import app
from raypipe.config.load import parse_config, to_yaml
from raypipe.config.settings import Config
from raypipe.core.errors import ConfigError, DataError, RaypipeError
from raypipe.core.ids import sha256_file
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.wal import WalWriter
from raypipe.pipeline import Loop
from raypipe.registry.store import Registry
from raypipe.serving.predictor import load_predictor
from raypipe.stats.metrics import METRICS
from raypipe.testing import FakeClock
from raypipe.training.anew import terms_of
from raypipe.training.kept import EndedTrial, RunFolder
from raypipe.training.own.families import families_of
from raypipe.training.own.signature import key_near, make_key
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import defaults
from raypipe.training.standings import Standing, best_of_families
from raypipe.training.trial import RungReport, run_trial
from raypipe.training.trials import Trials

CODE = Path(__file__).parent / "own_code"
N_ROWS = 400
OWN: dict[str, dict[str, Any]] = {
    "forest": {"estimator": "mine_models:forest", "search": {"n_trees": {"low": 3, "high": 9}}},
    "closed": {"estimator": "mine_models:Closed", "allow_pickle": True},
    "net": {"network": "mine_models:Net", "search": {"width": {"low": 8, "high": 16}}},
}
FAMILIES = ("linear", "xgboost", "torch", *OWN)
SMALLER: dict[str, dict[str, Any]] = {"xgboost": {"n_trees": 60}, "torch": {"n_epochs": 9, "width": 32}}


class OneTrialLoop(Loop):
    """A loop whose race is one trial a family, in this process; a trial may be cut short, as Tune does."""

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        settings = self.config.training
        key = key_near(kept.path)
        assert key is not None
        make_key(key)
        standings = []
        for number, (name, family) in enumerate(families_of(settings, key).items(), 1):
            params = {**defaults(family, features.task), **SMALLER.get(name, {})}
            reports: list[tuple[RungReport, Path]] = []

            def keep(report: RungReport, number: int = number, reports: Any = reports) -> None:
                if report.model is not None:
                    folder = kept.path / f"saved-{number}-{report.rung}"
                    folder.mkdir()
                    report.model.save(folder)
                    reports.append((report, folder))

            terms = terms_of(family, settings.resources, settings.seed)
            run_trial(family, params, features, terms, timer=time.perf_counter, report=keep)
            report, folder = (
                reports[-1] if len(reports) == 1 else reports[-2]
            )  # All but the last improvement.
            summary = TrialSummary(f"t{number}", name, params, report.score, "stopped", report.rung, 0.1)
            ended = EndedTrial(Standing(summary, report.format, folder), ((report.rung, report.score),), 0.1)
            standings.append(kept.keep_trial(ended).standing)
        best = best_of_families(standings, METRICS[features.task.metric])
        return kept.keep_race(best, [one.summary for one in standings])


@contextmanager
def compute() -> Iterator[Trials]:
    yield Trials(1.0, 1)


def config_of(place: Path, family: str, **training: Any) -> Config:
    raced = {"models": {family: OWN[family]}, "families": []} if family in OWN else {"families": [family]}
    return parse_config(
        {
            "name": "credit",
            "home": "home",
            "data": {
                "sources": [{"name": "files", "format": "csv", "path": "rows.csv"}],
                "label": "y",
                "time": "at",
            },
            "processing": {"categorical": {"encode": "target"}},
            "training": {**raced, "code": str(CODE), "importance": {"enabled": False}, **training},
        },
        place,
    )


def rows(n_rows: int = N_ROWS) -> pa.Table:
    random = np.random.default_rng(0)
    x, z, noise = random.normal(size=(3, n_rows))
    return pa.table(
        {
            "x": pa.array(np.where(random.random(n_rows) < 0.1, np.nan, x), from_pandas=True),
            "z": z,
            "colour": random.choice(["red", "green", "blue"], n_rows),
            "at": pa.array(np.arange(n_rows) + 1_700_000_000, pa.timestamp("s", "UTC")),
            "y": np.where(x + z + noise > 0, "yes", "no"),
        }
    )


def learn(place: Path, family: str, **training: Any) -> Config:
    config = config_of(place, family, **training)
    config.root.prepare()
    clock = FakeClock()
    OneTrialLoop(config, Registry(config.root.registry_url, clock), clock, compute).run(force=True)
    return config


def again(config: Config, version: str = "v1") -> Reproduced:
    return reproduce(config, Registry(config.root.registry_url, FakeClock()), version)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a pipeline with a version of each family."""
    place = tmp_path_factory.mktemp("again")
    csv.write_csv(rows(), place / "rows.csv")
    for family in FAMILIES:
        learn(place, family)
    return place


@pytest.fixture
def place(learned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned, tmp_path / "p")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_comes_to_the_same_bits(learned: Path, family: str) -> None:
    found = again(config_of(learned, "linear"), f"v{FAMILIES.index(family) + 1}")
    assert found.family == family
    # Files of skops name objects by where they lie in memory.
    expected = "equal answers" if family == "forest" else "equal files"
    assert (found.likeness, found.differences) == (expected, ())
    assert found.files["transform.json"] and all(found.files.values()) == (expected == "equal files")
    assert (found.golden.n_rows, found.golden.largest_difference, found.captured.n_rows) == (16, 0.0, 0)
    assert "transform.json" in found.files and any(name.startswith("model/") for name in found.files)


def test_answers_that_were_captured_are_given_again(place: Path) -> None:
    config, clock = config_of(place, "linear"), FakeClock()
    registry = Registry(config.root.registry_url, clock)
    known = registry.model_version("credit", "v2")
    predictor = load_predictor(config.folder.model("v2"), known.manifest_sha256)
    asked = [{"x": n / 7, "z": -n / 9, "colour": "red"} for n in range(30)]
    answers = predictor.predict_rows(asked)
    assert answers.probabilities is not None
    writer = WalWriter(config.folder.wal, "s1", clock)
    writer.open()
    for n, row in enumerate(asked):
        given = tuple(answers.probabilities[n].tolist())
        record = PredictionRecord(f"p{n}", clock.now(), "v2", "champion", json.dumps(row), "yes", given)
        # What another version answered, or a canary in the classes of its champion, is not asked.
        other = PredictionRecord(f"q{n}", clock.now(), "v1", "champion", json.dumps(row), "yes", (0.5, 0.5))
        canary = PredictionRecord(f"c{n}", clock.now(), "v2", "canary@3", json.dumps(row), "no", (0.4, 0.6))
        writer.append_all([encode(one) for one in (record, other, canary)])
    writer.close()
    commit_once(config.folder)
    found = again(config, "v2")
    assert (found.captured.n_rows, found.captured.is_equal, found.likeness) == (30, True, "equal files")


def tampered(place: Path, version: str, **changes: Any) -> Config:
    """Register the settings of a version anew with changes in their training part, and say how."""
    config = config_of(place, "xgboost")
    folder = config.folder.model(version)
    settings = json.loads((folder / "config.json").read_bytes())
    settings["training"] |= changes
    (folder / "config.json").write_text(json.dumps(settings))
    manifest = json.loads((folder / "MANIFEST.json").read_bytes())
    path = folder / "config.json"
    manifest["files"]["config.json"] = {"sha256": sha256_file(path), "n_bytes": path.stat().st_size}
    manifest["frameworks"]["xgboost"] = "0.0.1"
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    database = sqlite3.connect(config.root.registry_url.removeprefix("sqlite:///"))
    with database:
        database.execute(
            "UPDATE raypipe_model_versions SET manifest_sha256 = ? WHERE number = ?",
            (sha256_file(folder / "MANIFEST.json"), int(version[1:])),
        )
    database.close()
    return config


def test_another_seed_is_another_model_and_the_command_says_so(place: Path) -> None:
    config = tampered(place, "v2", seed=7)
    found = again(config, "v2")
    assert found.likeness == "differs" and found.golden.largest_difference > 0
    assert not found.files["model/model.ubj"] and found.files["transform.json"]
    [other] = found.differences
    assert (other.what, other.recorded) == ("xgboost", "0.0.1")
    (place / "again.yaml").write_text(to_yaml(config))
    ran = CliRunner().invoke(app, ["reproduce", "v2", str(place / "again.yaml")])
    assert ran.exit_code == 1
    assert "v2 learned anew: another model: answers differ by" in ran.output
    assert "xgboost: 0.0.1 was recorded" in ran.output


def test_the_command_tells_of_the_same_files(place: Path) -> None:
    (place / "again.yaml").write_text(to_yaml(config_of(place, "linear")))
    ran = CliRunner().invoke(app, ["reproduce", "v1", str(place / "again.yaml")])
    assert ran.exit_code == 0, ran.output
    assert "v1 learned anew: the same files" in ran.output
    assert "golden     16 rows: equal to the bit" in ran.output
    assert "code       libraries and code as recorded" in ran.output
    asked = CliRunner().invoke(app, ["reproduce", "challenger", str(place / "again.yaml"), "--json"])
    assert json.loads(asked.output)["version"] == f"v{len(FAMILIES)}"


def test_rows_that_are_gone_are_refused_in_a_sentence(place: Path) -> None:
    config, clock = config_of(place, "linear"), FakeClock()
    clock.advance(86_400)
    pipeline = Pipeline.of(config, clock=clock)
    pipeline.data.erase({"z": [rows()["z"][3].as_py()]}, reason="asked on paper")
    with pytest.raises(DataError, match=r"1 rows of people were erased from d-\w+ on .*, after v1 learned"):
        again(config)
    with pytest.raises(RaypipeError, match="v99"):
        again(config, "v99")


def test_settings_of_another_raypipe_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="must be of this version of raypipe"):
        again(tampered(place, "v2", unheard_of=1), "v2")


@pytest.mark.parametrize(
    "family", ["linear", *(pytest.param(name, marks=pytest.mark.slow) for name in ("xgboost", "torch"))]
)
def test_more_threads_are_those_of_the_config(place: Path, family: str) -> None:
    found = again(learn(place, family, resources={"cpus": 2}), f"v{len(FAMILIES) + 1}")
    assert (found.family, found.n_threads, found.likeness) == (family, 2, "equal files")
