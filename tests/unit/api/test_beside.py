"""Two model versions side by side: judged on the rows that tested both, and on none where there are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from raypipe.api.pipeline import Pipeline
from raypipe.cli.main import app
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.config.yaml_text import Plain
from raypipe.core.errors import UnknownVersion
from raypipe.data.versions import Change
from raypipe.pipeline import Loop
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.training.family import Terms, family_of
from raypipe.training.kept import EndedTrial, RunFolder
from raypipe.training.leaderboard import BASELINE
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import defaults
from raypipe.training.standings import Standing
from raypipe.training.trials import Trials

N_ROWS = 400


@dataclass(frozen=True)
class ShortLoop(Loop):
    """A loop whose race is one trial of a family in this process, beside the baseline."""

    family: str = BASELINE

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        for number, family in enumerate(dict.fromkeys((BASELINE, self.family)), 1):
            params = defaults(family_of(family), features.task)
            *_, (_, model) = family_of(family).train(params, features, Terms(1, 0, 1))
            folder = kept.path / f"saved-{number}"
            folder.mkdir()
            model.save(folder)
            score = float(number)
            summary = TrialSummary(f"t{number}", family, params, score, "finished", 1, 0.1, "", kept.attempt)
            kept.keep_trial(EndedTrial(Standing(summary, model.format, folder), ((1, score),), 0.1))
        ended = [one.standing for one in kept.trials()]
        return kept.keep_race(ended, [one.summary for one in ended])


@contextmanager
def compute() -> Iterator[Trials]:
    yield Trials(1.0, 1)


def config_of(place: Path, **changes: Plain) -> Config:
    data = {"sources": [{"name": "files", "format": "csv", "path": "rows.csv"}], "label": "y"}
    training = {"importance": {"repeats": 2}}
    document = {"name": "credit", "home": "home", "data": data, "training": training}
    return parse_config({**document, **changes}, place)


def learn(config: Config, family: str) -> Pipeline:
    config.root.prepare()
    clock = FakeClock()
    loop = ShortLoop(config, Registry(config.root.registry_url, clock), clock, compute, family=family)
    loop.run(force=True)
    return Pipeline.of(config, clock=clock)


def rows(n_rows: int = N_ROWS) -> pa.Table:
    x, z, noise = np.random.default_rng(0).normal(size=(3, n_rows))
    return pa.table({"x": x, "z": z, "y": (x + z + noise > 0).astype(int)})


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a pipeline with the baseline as v1, and a linear model as v2 and v3."""
    place = tmp_path_factory.mktemp("beside")
    csv.write_csv(rows(), place / "rows.csv")
    for family in (BASELINE, "linear", "linear"):
        learn(config_of(place), family)
    return place


@pytest.fixture
def place(learned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned, tmp_path / "p")


def test_versions_of_one_data_version_are_judged_on_its_test_part(place: Path) -> None:
    found = Pipeline.of(config_of(place)).models.compare("v1", "v2")
    judged = found.comparison
    assert judged is not None and not found.not_judged
    assert (judged.n_rows, judged.champion_score) == (found.after.n_test_rows, 0.5)
    assert judged.challenger_score == pytest.approx(found.after.test.value), "as its own run judged it"
    assert judged.gain == pytest.approx(found.after.test.value - 0.5)
    assert judged.gain_low is not None and judged.gain_low > 0
    assert [(one.name, one.before) for one in found.params] == [("strength", None)]
    assert found.importance is not None and found.importance.before == "v1"
    assert {one.column for one in found.importance.columns if one.has_moved} == {"x", "z"}


def test_equal_models_do_not_differ(place: Path) -> None:
    found = Pipeline.of(config_of(place)).models.compare("v2", "v3")
    assert found.comparison is not None
    assert (found.comparison.gain, found.comparison.gain_low, found.comparison.gain_high) == (0, 0, 0)
    assert (found.params, found.before.family) == ((), "linear")


def test_other_data_is_told_and_not_judged_on(place: Path) -> None:
    csv.write_csv(rows(N_ROWS + 10), place / "rows.csv")
    found = learn(config_of(place), "linear").models.compare("v2", "v4")
    assert found.comparison is None
    assert "rows that test one may have taught the other" in found.not_judged


def test_another_split_or_metric_is_told(place: Path) -> None:
    learn(config_of(place, training={"seed": 1, "importance": {"enabled": False}}), "linear")
    models = learn(config_of(place, training={"metric": "log_loss"}), "linear").models
    assert "they split d-" in models.compare("v2", "v4").not_judged
    assert models.compare("v2", "v4").importance is None
    other = models.compare("v2", "v5")
    assert other.not_judged == (
        "they are judged by auc of 'y' (classification) and log_loss of 'y' (classification)"
    )
    assert other.importance is None


def test_a_damaged_version_has_an_error_and_a_removed_one_a_record(place: Path) -> None:
    models = Pipeline.of(config_of(place)).models
    (place / "home" / "credit" / "models" / "v2" / "model" / "model.safetensors").write_bytes(b"")
    judged = models.compare("v1", "v2").comparison
    assert judged is not None and "truncated" in judged.challenger_error
    assert (judged.champion_score, judged.gain) == (0.5, None)
    models.remove("v1", reason="weak")
    gone = models.compare("v1", "v3")
    assert gone.comparison is None and gone.importance is None
    assert gone.not_judged.startswith("v1 was removed on ") and gone.not_judged.endswith("UTC: weak")
    with pytest.raises(UnknownVersion, match="Got 'v9'"):
        models.compare("v1", "v9")


def test_rows_that_are_gone_are_told(place: Path) -> None:
    pipeline = Pipeline.of(config_of(place))
    (data,) = pipeline.registry.data_versions("credit")
    pipeline.registry.change_data(
        "credit",
        Change("data_removed", data.id, {}, (replace(data, removed_at=data.created_at, fragments=()),)),
    )
    assert "and its rows are gone" in pipeline.models.compare("v1", "v2").not_judged


def test_the_command_says_who_is_better_and_whether_that_is_real(place: Path) -> None:
    config = place / "raypipe.yaml"
    config.write_text(json.dumps(config_of(place).model_dump(mode="json")))

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["models", "compare", *arguments, str(config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    lines = said("v1", "v2").splitlines()
    assert lines[0].split() == ["v1", "v2"]
    assert lines[1].split() == ["family", "baseline", "linear"]
    assert "strength      -" in said("v1", "v2")
    assert "on the 80 rows that test both: auc 0.5 and 0." in said("v1", "v2")
    assert "\nv2 is better by 0." in said("v1", "v2")
    assert "\nv1 is worse by 0." in said("v2", "v1")
    assert "these rows do not tell them apart: v3 gains 0 [0, 0]" in said("v2", "v3")
    assert lines[-2].split()[0] in ("x", "z") and lines[-2].endswith("moved")
    assert json.loads(said("v1", "v2", "--json"))["comparison"]["n_rows"] == 80
