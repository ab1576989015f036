from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from raypipe.core.errors import ConfigError, LabelError
from raypipe.data.config import DataSettings, LabelSettings
from raypipe.data.expressions import label_inputs, parse_sql, where, with_label

FRAME = pl.DataFrame({"delay": [20.0, None, 3.0], "carrier": ["AA", "UA", None], "day": [1, 2, 3]})


def label(expression: str, name: str = "late") -> LabelSettings:
    return LabelSettings(name=name, expression=expression)


def settings(label: Any) -> DataSettings:
    source = {"name": "s", "format": "csv", "path": "f.csv"}
    return DataSettings.model_validate({"sources": [source], "label": label})


def test_a_label_is_computed_and_null_stays_null() -> None:
    assert with_label(FRAME, label("delay > 15"))["late"].to_list() == [True, None, False]


@pytest.mark.parametrize(
    ("expression", "dtype"),
    [
        ("day * 2", pl.Int64),
        ("CAST(day AS REAL)", pl.Float64),
        ("CASE WHEN delay > 15 THEN 'late' ELSE 'fine' END", pl.String),
        ("carrier IN ('AA', 'UA')", pl.Boolean),
    ],
)
def test_labels_come_in_the_few_types_that_columns_have(expression: str, dtype: pl.DataType) -> None:
    assert with_label(FRAME, label(expression))["late"].dtype == dtype


def test_the_inputs_of_a_label_are_known() -> None:
    assert label_inputs(settings({"name": "late", "expression": "delay > day"})) == ("day", "delay")
    assert label_inputs(settings("delay")) == ()


def test_where_keeps_the_rows_for_which_it_is_true() -> None:
    assert where(FRAME, "delay > 0 AND day < 3")["day"].to_list() == [1]
    assert where(FRAME, None) is FRAME


def test_an_absent_label_names_its_neighbours() -> None:
    with pytest.raises(LabelError, match=r"'dely' is no column of the sources; did you mean 'delay'\?"):
        with_label(FRAME, "dely")


def test_a_computed_label_needs_a_name_of_its_own() -> None:
    with pytest.raises(ConfigError, match="or write `label: day` to use the column as it is"):
        with_label(FRAME, label("delay > 15", "day"))


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("dely > 15", "names 'dely', which is no column; did you mean 'delay'"),
        ("delay >", "must be an SQL expression over the columns. Got 'delay >'"),
        ("nosuch(delay)", "unsupported function"),
        ("delay > 'x'", "Got \"delay > 'x'\""),
        ("SELECT delay", "must be an SQL expression"),
    ],
)
def test_a_wrong_expression_is_quoted(expression: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r"^data\.label\.expression") as caught:
        with_label(FRAME, label(expression))
    assert sentence in str(caught.value)


def test_where_must_be_a_condition() -> None:
    with pytest.raises(ConfigError, match=r"data\.where must be a condition .* Got 'day'"):
        where(FRAME, "day")


@pytest.mark.parametrize(
    "expression",
    [
        "x > AVG(x)",
        "SUM(x) OVER (PARTITION BY y)",
        "LAG(x) OVER (ORDER BY y) > 1",
        "COUNT(*) > 3",
        "MEDIAN(x) > x",
    ],
)
def test_what_looks_at_other_rows_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="must give each row a value by that row alone"):
        parse_sql("data.where", expression)


@pytest.mark.parametrize(
    "expression",
    [
        "x > 15 AND y IS NOT NULL",
        '"Agg" > 1 AND "Len" = \'Over\'',
        "CASE WHEN x IN (1, 2) THEN 'Shift' ELSE LOWER(y) END",
        "COALESCE(x, 0) BETWEEN 1 AND 2",
        "EXTRACT(year FROM t) > 2000",
    ],
)
def test_what_looks_at_its_row_alone_is_taken(expression: str) -> None:
    parse_sql("data.where", expression)
