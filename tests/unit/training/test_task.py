from __future__ import annotations

import decimal
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ConfigError, LabelError
from raypipe.training.config import TrainingSettings
from raypipe.training.task import Task, infer_task


def column(values: list[Any], type_: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


def inferred(values: list[Any], type_: pa.DataType | None = None, **settings: Any) -> Task:
    return infer_task(TrainingSettings.model_validate(settings), "y", column(values, type_))


@pytest.mark.parametrize(
    ("values", "type_", "classes"),
    [
        (["UP", "DOWN", None, "UP"], None, ("DOWN", "UP")),
        (["b", "a"], pa.string_view(), ("a", "b")),
        ([True, False], None, (False, True)),
        ([3, 1, 2, 1], pa.int8(), (1, 2, 3)),
        (list(range(20)), None, tuple(range(20))),
        ([1.0, 0.0, None, math.nan], None, (0, 1)),
        ([decimal.Decimal("1"), decimal.Decimal("0")], None, (0, 1)),
    ],
)
def test_labels_that_are_classes(
    values: list[Any], type_: pa.DataType | None, classes: tuple[Any, ...]
) -> None:
    task = inferred(values, type_)
    assert (task.kind, task.classes) == ("classification", classes)
    assert list(map(type, task.classes)) == list(map(type, classes))


def test_a_dictionary_is_text() -> None:
    labels = pa.chunked_array([pa.array(["b", "a"]).dictionary_encode(), pa.array(["c"]).dictionary_encode()])
    task = infer_task(TrainingSettings(), "y", labels)
    assert task.classes == ("a", "b", "c")
    assert task.encode(labels).tolist() == [1, 0, 2]


@pytest.mark.parametrize("values", [list(range(21)), [0.5, 1.0], [1.0, 2.0, 3.0], [1e300, 2.5]])
def test_labels_that_are_amounts(values: list[Any]) -> None:
    task = inferred(values)
    assert (task.kind, task.classes, task.metric) == ("regression", (), "mae")


def test_the_settings_overrule_the_guess() -> None:
    assert inferred([1, 2, 3], task="regression").kind == "regression"
    assert inferred(list(range(30)), task="classification").n_classes == 30
    assert inferred([0.5, 1.5], task="classification").classes == (0.5, 1.5)


@pytest.mark.parametrize(
    ("values", "metric"), [(["a", "b"], "auc"), (["a", "b", "c"], "log_loss"), ([0.1, 0.2, 0.3], "mae")]
)
def test_the_metric_by_default(values: list[Any], metric: str) -> None:
    assert inferred(values).metric == metric


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([None, None], "no value"),
        ([math.nan, math.inf], "no value"),
        ([], "no value"),
        (["a", "a", None], "'a' in every row"),
        ([2.5, 2.5], "2.5 in every row"),
    ],
)
def test_labels_that_cannot_be_learned(values: list[Any], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        inferred(values, pa.float64() if None in values and "a" not in values else None)


def test_too_many_classes() -> None:
    with pytest.raises(LabelError, match="1,001 distinct values"):
        inferred([f"c{i}" for i in range(1001)])


def test_a_label_of_no_usable_type() -> None:
    with pytest.raises(LabelError, match="timestamp"):
        inferred([0, 1], pa.timestamp("s"))


def test_text_is_no_amount() -> None:
    with pytest.raises(ConfigError, match="text"):
        inferred(["a", "b"], task="regression")


@pytest.mark.parametrize(("values", "metric"), [([0.1, 0.2, 0.3], "auc"), (["a", "b"], "mae")])
def test_a_metric_that_does_not_fit(values: list[Any], metric: str) -> None:
    with pytest.raises(ConfigError, match=rf"training.metric must be one of .* Got {metric}"):
        inferred(values, metric=metric)


def test_codes_are_positions_in_the_classes() -> None:
    codes = inferred(["x", "y", "z"]).encode(column(["z", "x"]))
    assert (codes.tolist(), codes.dtype) == ([2, 0], np.int64)


def test_codes_of_whole_floats_and_of_wider_integers() -> None:
    task = inferred([0.0, 1.0])
    assert task.encode(column([1.0, 0.0])).tolist() == [1, 0]
    assert task.encode(column([1, 0], pa.int32())).tolist() == [1, 0]


@pytest.mark.parametrize("bad", [["z"], [None]])
def test_a_label_that_is_no_class_is_refused(bad: list[Any]) -> None:
    with pytest.raises(LabelError, match="none of the 2 classes"):
        inferred(["x", "y"]).encode(column(bad, pa.string()))


def test_a_label_of_another_type_is_refused() -> None:
    with pytest.raises(LabelError, match="the type that was trained on"):
        inferred(["x", "y"]).encode(column([1, 2]))


def test_amounts_are_float64() -> None:
    values = inferred(list(range(30))).encode(column([3, 1], pa.int16()))
    assert (values.tolist(), values.dtype) == ([3.0, 1.0], np.float64)


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_an_amount_that_is_missing_is_refused(bad: float | None) -> None:
    with pytest.raises(LabelError, match="missing or infinite in 1 rows"):
        inferred([0.1, 0.2, 0.3]).encode(column([1.0, bad]))


@pytest.mark.parametrize("values", [["a", "b"], [True, False], [1, 2, 3], [0.5, 1.5, 2.5]])
def test_json_gives_it_back(values: list[Any]) -> None:
    task = inferred(values)
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert list(map(type, again.classes)) == list(map(type, task.classes))


@pytest.mark.parametrize("broken", [[], {"kind": "ranking", "label": "y", "classes": [], "metric": "auc"}])
def test_json_of_another_shape_is_refused(broken: Any) -> None:
    with pytest.raises(ValueError, match="Got"):
        Task.from_json(broken)


def test_the_judging_metric_comes_first() -> None:
    assert inferred(["a", "b"], metric="log_loss").metrics == ("log_loss", "auc", "accuracy")
    assert inferred(["a", "b", "c"]).metrics == ("log_loss", "accuracy")
    assert inferred(["a", "b", "c"], metric="auc").metrics == ("auc", "accuracy", "log_loss")
