from __future__ import annotations

import json

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.data.schema import Column
from raypipe.processing.steps import (
    FittedCategory,
    FittedDate,
    FittedNumber,
    FittedStep,
    step_from_json,
    step_to_json,
)
from raypipe.processing.steps.lookup import missing_code, unseen_code

NUMBER = FittedNumber(Column("age", "number", True), 0.1, -1e300, 1 / 3, 2.0, 5e-324, indicator=True)
JOB = Column("job", "category", True)
CATEGORY = FittedCategory(JOB, ("b", "a"), True, True, (("a", 1.5), ("b", 2.5), ("c", 0.5)))
DATE = FittedDate(Column("ts", "timestamp", True), ("hour", "weekday", "yearday_sin"), (2012, 2014), True)
STEPS: list[FittedStep] = [
    NUMBER,
    CATEGORY,
    DATE,
    FittedCategory(JOB, (), False, False),
    FittedDate(Column("ts", "timestamp", False), (), None, True),
]


def test_feature_names() -> None:
    assert NUMBER.feature_names == ("age", "age__missing")
    assert CATEGORY.feature_names == ("job=b", "job=a", "job=<rare>", "job=<missing>", "job__frequency")
    names = ("ts__hour", "ts__weekday", "ts__yearday_sin", "ts__year", "ts__missing")
    assert DATE.feature_names == names


def test_codes_of_a_category() -> None:
    assert CATEGORY.vocabulary == ("b", "a", "c")
    assert CATEGORY.table.tolist() == [
        [1, 0, 0, 0, 2.5],
        [0, 1, 0, 0, 1.5],
        [0, 0, 1, 0, 0.5],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    assert (unseen_code(CATEGORY), missing_code(CATEGORY)) == (3, 4)


def test_without_rare_and_missing_training_rows_there_is_no_such_feature() -> None:
    step = FittedCategory(JOB, ("a", "b"), rare=False, missing=False)
    assert step.feature_names == ("job=a", "job=b")
    assert step.table.tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]
    assert FittedCategory(JOB, ("a",), rare=False, missing=True).table.tolist() == [[1, 0], [0, 0], [0, 1]]


def test_tables_of_a_date_follow_its_features() -> None:
    assert [(position, table.shape) for position, table in DATE.tables] == [
        ("clock", (1441, 1)),
        ("weekday", (8, 1)),
        ("yearday", (367, 1)),
    ]
    centre, reciprocal = DATE.year_scale
    assert [(year - centre) * reciprocal for year in (2012, 2013, 2014, 2015)] == [-1, 0, 1, 2]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_json_round_trip(step: FittedStep) -> None:
    read = step_from_json(json.loads(json.dumps(step_to_json(step), allow_nan=False)))
    assert read == step
    assert read.feature_names == step.feature_names


def test_tables_are_float32() -> None:
    assert CATEGORY.table.dtype == np.float32
    assert all(table.dtype == np.float32 for _, table in DATE.tables)


def test_other_json_is_refused() -> None:
    number, category = step_to_json(NUMBER), step_to_json(CATEGORY)
    for bad in (
        None,
        {"step": "unheard of"},
        {**number, "fill": "1"},
        {**category, "values": [1]},
        {**category, "frequencies": [["a"]]},
        {**step_to_json(DATE), "years": [2012]},
    ):
        with pytest.raises(ArtifactError, match=r"step must|step cannot"):
            step_from_json(bad)
