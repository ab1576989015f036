from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError, ServingError
from raypipe.core.home import PipelineHome
from raypipe.serving.pointer import Pointer
from raypipe.serving.predictor import MAX_ROWS_BY_ROW, Predictor, load_predictor
from raypipe.serving.tables import table_of
from raypipe.testing.serving import TINY_ROW, TINY_TASK, seal, tiny_model, tiny_transform, write_tiny_version
from raypipe.training.task import Task


class LinearDouble:
    """Answers with the sum of the features, or what `answer` makes of them."""

    format = "double"

    def __init__(self, answer: object = None) -> None:
        self.answer = answer or (lambda features: features.astype(np.float64).sum(axis=1))

    def predict(self, features: np.ndarray) -> np.ndarray:
        return self.answer(features)

    def save(self, folder: object) -> None: ...


REGRESSION = Task("regression", "amount", (), "mae")


def test_a_class_is_answered_in_the_labels_own_type() -> None:
    for classes in (("bad", "good"), (0, 1), (False, True), (1.5, 2.5)):
        predictor = Predictor(tiny_transform(), Task("classification", "x", classes, "auc"), tiny_model(0.75))
        found = predictor.predict_rows([TINY_ROW])
        assert found.values == [classes[1]]
        assert type(found.values[0]) is type(classes[1])
        assert found.probabilities is not None
        assert found.probabilities.tolist() == [[0.25, 0.75]]


def test_a_number_is_answered_as_a_float() -> None:
    found = Predictor(tiny_transform(), REGRESSION, LinearDouble()).predict_rows([TINY_ROW])
    assert isinstance(found.values[0], float)
    assert found.probabilities is None
    assert found.finite == [True]


def test_few_rows_and_many_rows_and_tables_are_answered_with_the_same_bits() -> None:
    predictor = Predictor(tiny_transform(), REGRESSION, LinearDouble())
    rows = [{**TINY_ROW, "amount": i / 7 if i % 5 else None, "size": i} for i in range(MAX_ROWS_BY_ROW + 1)]
    many = predictor.predict_rows(rows).values
    assert [predictor.predict_rows([row]).values[0] for row in rows] == many
    assert predictor.predict_table(table_of(rows, predictor.transform.inputs)).values == many


def test_no_rows_have_no_answers() -> None:
    assert Predictor(tiny_transform(), REGRESSION, LinearDouble()).predict_rows([]).values == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_answer_that_is_no_finite_number_is_marked(bad: float) -> None:
    number = Predictor(tiny_transform(), REGRESSION, LinearDouble(lambda x: np.array([1.0, bad])))
    assert number.predict_rows([TINY_ROW] * 2).finite == [True, False]
    share = Predictor(tiny_transform(), TINY_TASK, LinearDouble(lambda x: np.array([[0.5, 0.5], [bad, 0.5]])))
    assert share.predict_rows([TINY_ROW] * 2).finite == [True, False]


def test_a_model_for_another_task_is_said() -> None:
    predictor = Predictor(tiny_transform(), TINY_TASK, LinearDouble())
    with pytest.raises(ServingError, match=r"must answer in the shape \(1, 2\)"):
        predictor.predict_rows([TINY_ROW])


def test_what_requests_lack_is_null_in_a_table() -> None:
    table = table_of([{"size": 1}, TINY_ROW], tiny_transform().inputs)
    assert table.column("amount").to_pylist() == [None, 12.5]
    assert table.schema.field("seen").type == pa.timestamp("us", tz="UTC")


def test_a_version_is_loaded_and_answers(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1)
    predictor = load_predictor(folder.model("v1"), pointer.manifest_sha256)
    assert predictor.predict_rows([TINY_ROW]).values == ["good"]
    assert predictor.task == TINY_TASK


def _reseal(folder: PipelineHome, pointer: Pointer) -> str:
    (folder.model("v1") / "MANIFEST.json").unlink()
    return seal(folder, pointer.version, "constant-json")


def test_a_changed_file_is_refused(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1)
    model = folder.model("v1") / "model" / "constant.json"
    model.write_text(model.read_text().replace("0.75", "0.25"))
    with pytest.raises(ArtifactError, match="was changed"):
        load_predictor(folder.model("v1"), pointer.manifest_sha256)


def test_a_version_that_answers_otherwise_than_at_registration_is_refused(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1)
    tiny_model(0.7).save(folder.model("v1") / "model")
    digest = _reseal(folder, pointer)
    with pytest.raises(
        ArtifactError, match=r"row 0 of .*golden\.json must be answered with \[0\.25, 0\.75\]"
    ):
        load_predictor(folder.model("v1"), digest)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("transform.json", "{}", "cannot be read as a transform"),
        ("transform.json", "{", "cannot be read as a transform"),
        ("golden.json", "{}", "must hold rows, and an answer for each"),
        ("golden.json", "{", "cannot be read"),
        ("golden.json", '{"rows": [], "answers": []}', "must hold rows"),
        ("golden.json", '{"rows": [{"size": "x"}], "answers": [[1, 0]]}', "row 0 of .* is no valid request"),
        ("model/constant.json", "[]", "constant"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(folder: PipelineHome, name: str, text: str, rule: str) -> None:
    pointer = write_tiny_version(folder, "v1", 1)
    (folder.model("v1") / name).write_text(text)
    digest = _reseal(folder, pointer)
    with pytest.raises(ArtifactError, match=rule):
        load_predictor(folder.model("v1"), digest)


def test_a_manifest_without_a_task_is_said(folder: PipelineHome) -> None:
    write_tiny_version(folder, "v1", 1)
    manifest = folder.model("v1") / "MANIFEST.json"
    fields = json.loads(manifest.read_text()) | {"task": {"kind": "dreaming"}}
    manifest.write_text(json.dumps(fields))
    from raypipe.core.ids import sha256_file

    with pytest.raises(ArtifactError, match="names no valid task"):
        load_predictor(folder.model("v1"), sha256_file(manifest))


def test_a_folder_that_is_gone_is_said(folder: PipelineHome) -> None:
    pointer = write_tiny_version(folder, "v1", 1)
    shutil.rmtree(folder.model("v1"))
    with pytest.raises(ArtifactError):
        load_predictor(folder.model("v1"), pointer.manifest_sha256)
