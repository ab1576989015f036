"""A version of any family is written, loaded and answers as it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.core.errors import ArtifactError
from raypipe.core.home import Home, PipelineHome
from raypipe.serving.predictor import Predictor, load_predictor
from raypipe.serving.swap import load_version
from raypipe.serving.tables import table_of
from raypipe.testing.serving import tiny_rows, tiny_transform, trained_tiny_model, write_tiny_version
from raypipe.training.task import Task

FAMILIES = ("baseline", "linear", "xgboost", "torch")
TASKS = {
    "two classes": Task("classification", "outcome", ("bad", "good"), "auc"),
    "three classes": Task("classification", "outcome", (1, 2, 3), "log_loss"),
    "a number": Task("regression", "outcome", (), "mae"),
}


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("tiny")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_version_is_loaded_and_answers_as_it_did(folder: PipelineHome, family: str, task: Task) -> None:
    model = trained_tiny_model(family, task)
    pointer = write_tiny_version(folder, "v1", 1, model=model, task=task)
    loaded = load_version(folder, pointer).predictor
    before = Predictor(tiny_transform(), task, model)
    asked = tiny_rows(100)
    assert loaded.predict_rows(asked).values == before.predict_rows(asked).values
    assert loaded.predict_table(table_of(asked, loaded.transform.inputs)).values == (
        loaded.predict_rows(asked).values
    )


def test_a_byte_that_changed_in_any_file_is_found(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1, model=trained_tiny_model("xgboost", TASKS["two classes"]))
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
