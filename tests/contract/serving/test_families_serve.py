"""A version of any family is written, loaded and answers as it did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.schema import Value
from raypipe.serving.predictor import Predictor, load_predictor
from raypipe.serving.swap import load_version
from raypipe.serving.tables import table_of
from raypipe.testing.serving import TINY_ROW, tiny_transform, write_tiny_version
from raypipe.training.family import Terms, family_of
from raypipe.training.models import Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

FAMILIES = ("baseline", "linear", "xgboost", "torch")
TASKS = {
    "two classes": Task("classification", "outcome", ("bad", "good"), "auc"),
    "three classes": Task("classification", "outcome", (1, 2, 3), "log_loss"),
    "a number": Task("regression", "outcome", (), "mae"),
}


def rows(n_rows: int) -> list[dict[str, Value]]:
    return [{**TINY_ROW, "amount": i / 7 if i % 5 else None, "size": i % 11} for i in range(n_rows)]


def trained(name: str, task: Task) -> Model:
    features = tiny_transform().transform_rows(rows(120))
    target = np.arange(120) % task.n_classes if task.classes else features[:, 0].astype(np.float64)
    data = TrainingSet(features, target, features, target, task, tiny_transform().feature_names)
    family = family_of(name)
    defaults = {parameter.name: parameter.default for parameter in family.space(task)}
    *_, (_, model) = family.train(defaults, data, Terms(n_rungs=2, seed=0, n_threads=1))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("tiny")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_version_is_loaded_and_answers_as_it_did(folder: PipelineHome, family: str, task: Task) -> None:
    model = trained(family, task)
    pointer = write_tiny_version(folder, "v1", 1, model=model, task=task)
    loaded = load_version(folder, pointer).predictor
    before = Predictor(tiny_transform(), task, model)
    asked = rows(100)
    assert loaded.predict_rows(asked).values == before.predict_rows(asked).values
    assert loaded.predict_table(table_of(asked, loaded.transform.inputs)).values == (
        loaded.predict_rows(asked).values
    )


def test_a_byte_that_changed_in_any_file_is_found(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1, model=trained("xgboost", TASKS["two classes"]))
    place = folder.model("v1")
    files = [path for path in place.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        good = path.read_bytes()
        path.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
        with pytest.raises(ArtifactError):
            load_predictor(place, pointer.manifest_sha256)
        path.write_bytes(good)
    assert json.loads((place / "golden.json").read_text())["rows"]
    load_predictor(place, pointer.manifest_sha256)
