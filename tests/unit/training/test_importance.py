from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.files import write_json
from raypipe.core.ids import canonical_json
from raypipe.stats.intervals import Interval
from raypipe.training.importance import (
    FLAGS,
    IMPORTANCE_NAME,
    Before,
    ColumnImportance,
    Finding,
    Importance,
    read_importance,
    summary_of,
)


def column(name: str, rank: int, low: float, high: float, *findings: Finding) -> ColumnImportance:
    return ColumnImportance(name, 2, rank, Interval((low + high) / 2, low, high), 0.6, findings)


LEFT_OUT = ColumnImportance("one", 0, None, None, None, (Finding("constant", "one has only one value"),))
NOW = Importance(
    "auc",
    0.9,
    5_000,
    65_469,
    5,
    (
        column("age", 1, 0.2, 0.3),
        column("salary", 2, 0.1, 0.15),
        column("loan", 3, -0.001, 0.001, Finding("useless", "shuffling loan changes nothing")),
        LEFT_OUT,
    ),
)


def test_it_moves_beside_the_version_before() -> None:
    earlier = replace(NOW, columns=(column("salary", 1, 0.2, 0.25), column("age", 2, 0.15, 0.25)))
    moved = NOW.compared_with("v3", earlier)
    age, salary, loan, one = moved.columns
    assert moved.before == "v3"
    assert age.before == Before(2, Interval(0.2, 0.15, 0.25)) and not age.has_moved, "the intervals overlap"
    assert salary.before == Before(1, Interval(0.225, 0.2, 0.25)) and salary.has_moved
    assert (loan.before, one.before) == (None, None) and not loan.has_moved


def test_what_another_metric_said_is_not_compared() -> None:
    assert NOW.compared_with("v3", replace(NOW, metric="log_loss")) == NOW


def test_it_says_on_what_it_was_measured() -> None:
    assert NOW.measured_on.startswith("Measured on a sample of 5,000 of 65,469 validation rows, each column")
    assert "on all 65,469 validation rows" in replace(NOW, n_rows=65_469).measured_on


def test_the_summary_names_what_matters_and_what_is_suspicious() -> None:
    assert list(summary_of(NOW, n_named=2)) == [
        "importance (loss of auc without it): age 0.25, salary 0.125",
        "constant: one",
        "useless: loan",
    ]


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert read_importance(tmp_path) is None
    write_json(tmp_path / IMPORTANCE_NAME, NOW.to_json())
    assert read_importance(tmp_path) == NOW


@pytest.mark.parametrize("broken", [None, {}, [], {"metric": "auc"}])
def test_something_else_is_refused(broken: object) -> None:
    with pytest.raises(ValueError, match="the importance of columns is an object"):
        Importance.from_json(broken)  # type: ignore[arg-type]


def test_a_damaged_column_is_refused() -> None:
    fields = json.loads(json.dumps(NOW.to_json()))
    fields["columns"][0]["findings"] = [{"flag": "odd", "why": ""}]
    with pytest.raises(ValueError, match="a finding has a flag"):
        Importance.from_json(fields)
    fields["columns"][0] = {"column": "age"}
    with pytest.raises(ValueError, match="the importance of a column"):
        Importance.from_json(fields)


numbers = st.floats(allow_nan=False, allow_infinity=False)
intervals = st.builds(Interval, numbers, numbers, numbers)
columns = st.builds(
    ColumnImportance,
    st.text(max_size=8),
    st.integers(0, 99),
    st.none() | st.integers(1, 99),
    st.none() | intervals,
    st.none() | numbers,
    st.lists(st.builds(Finding, st.sampled_from(FLAGS), st.text(max_size=8)), max_size=3).map(tuple),
    st.none() | st.builds(Before, st.integers(1, 99), intervals),
)


@given(st.lists(columns, max_size=5).map(tuple), st.none() | st.just("v1"))
def test_it_comes_back_from_json_as_it_was(found: tuple[ColumnImportance, ...], before: str | None) -> None:
    whole = replace(NOW, columns=found, before=before)
    assert Importance.from_json(json.loads(canonical_json(whole.to_json()))) == whole


def test_no_number_at_all_can_be_kept() -> None:
    nan = float("nan")
    unknown = ColumnImportance("x", 1, 1, Interval(nan, nan, nan), nan)
    again = Importance.from_json(
        json.loads(canonical_json(replace(NOW, score=nan, columns=(unknown,)).to_json()))
    )
    assert math.isnan(again.score)
    assert again.columns[0].value is not None and math.isnan(again.columns[0].value.value)
    assert again.columns[0].alone is None
