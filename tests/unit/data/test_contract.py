from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError, ContractError, DataError
from raypipe.data.contract import Checked, answered_already, check, check_contract, rules_of, time_rule
from raypipe.data.contract_settings import ContractSettings

NAN = float("nan")


def contract(**columns: Any) -> ContractSettings:
    return ContractSettings.model_validate({"columns": columns})


def checked(frame: pl.DataFrame, **columns: Any) -> Checked:
    frame = frame.with_columns(_source=pl.lit("s"), _place=pl.int_range(pl.len()))
    return check(frame, rules_of(contract(**columns), frame.schema))


@pytest.mark.parametrize(
    ("values", "rule", "kept"),
    [
        ([1.0, None, NAN], {"nullable": False}, [1.0]),
        ([-1.0, 0.0, 5.0, None], {"min": 0, "max": 4}, [0.0, None]),
        ([float("inf"), 1.0], {"max": 4}, [1.0]),
        (["a", "b", None], {"allowed": ["a"]}, ["a", None]),
        ([1, 2, 3], {"allowed": [1, 3]}, [1, 3]),
        ([True, False], {"allowed": [True]}, [True]),
        (["ab1", "xab1", "ab12", None], {"pattern": "ab[0-9]"}, ["ab1", None]),
        (["ab\n"], {"pattern": "ab"}, []),
        (["a", "bb"], {"pattern": "a|b"}, ["a"]),
    ],
)
def test_a_rule_keeps_the_values_that_meet_it(
    values: list[Any], rule: dict[str, Any], kept: list[Any]
) -> None:
    result = checked(pl.DataFrame({"x": values}), x=rule)
    assert result.accepted["x"].to_list() == kept
    assert result.n_bad == len(values) - len(kept)


def test_nan_is_missing_not_large() -> None:
    assert checked(pl.DataFrame({"x": [NAN]}), x={"min": 0, "max": 1}).n_bad == 0


def test_what_was_broken_is_counted_by_rule() -> None:
    frame = pl.DataFrame({"x": [-1.0, 9.0, None], "c": ["a", "z", "z"]})
    result = checked(
        frame,
        x={"nullable": False, "min": 0, "max": 5, "on_violation": "drop"},
        c={"allowed": ["a"], "on_violation": "quarantine"},
    )
    assert [(rule.column, rule.rule, rule.action, rule.n_rows) for rule in result.broken] == [
        ("x", "must not be null", "drop", 1),
        ("x", "must be >= 0", "drop", 1),
        ("x", "must be <= 5", "drop", 1),
        ("c", "must be one of a", "quarantine", 2),
    ]
    assert result.n_bad == 3


def test_a_quarantined_row_is_kept_whole_with_what_it_broke() -> None:
    (row,) = checked(pl.DataFrame({"x": [-1.5, 2.0], "c": ["ä", "b"]}), x={"min": 0}).quarantined.to_dicts()
    assert json.loads(row.pop("row")) == {"x": -1.5, "c": "ä"}
    assert row == {"source": "s", "place": "0", "rule": "must be >= 0", "column": "x", "value": "-1.5"}


def test_dropped_rows_are_not_quarantined() -> None:
    result = checked(pl.DataFrame({"x": [-1.0]}), x={"min": 0, "on_violation": "drop"})
    assert result.quarantined.height == 0


def test_a_rule_may_stop_the_batch() -> None:
    with pytest.raises(DataError, match=r"2 rows break the rule that 'x' must be >= 0, the first with -1\.0"):
        checked(pl.DataFrame({"x": [-1.0, -2.0, 3.0]}), x={"min": 0, "on_violation": "stop"})


def test_without_rules_all_rows_are_accepted() -> None:
    frame = pl.DataFrame({"x": [1]})
    assert check(frame, []).accepted is frame


def test_rows_without_a_time_are_dropped() -> None:
    result = check(pl.DataFrame({"t": [None, 1]}), [time_rule("t")])
    assert [(rule.rule, rule.n_rows) for rule in result.broken] == [("time is null", 1)]
    assert result.accepted.height == 1


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"min": 0}, "data.contract.columns.c: min and max needs a column of numbers"),
        ({"allowed": ["a", 1]}, "values like the column's; 1 is not"),
    ],
)
def test_a_rule_that_does_not_fit_its_column_is_a_config_error(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(pl.DataFrame({"c": ["a"]}), c=rule)
    assert sentence in str(caught.value)


def test_a_pattern_needs_text_and_numbers_allow_no_booleans() -> None:
    with pytest.raises(ConfigError, match="pattern needs a column of text"):
        checked(pl.DataFrame({"x": [1]}), x={"pattern": "1"})
    with pytest.raises(ConfigError, match="True is not"):
        checked(pl.DataFrame({"x": [1]}), x={"allowed": [True]})


def test_a_rule_for_no_column_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"contract\.columns\.adge is no column; did you mean 'age'"):
        checked(pl.DataFrame({"age": [1]}), adge={"min": 0})


def test_a_pattern_must_be_one() -> None:
    with pytest.raises(ConfigError, match=r"contract\.columns\.x\.pattern must be a regular expression"):
        check_contract(contract(x={"pattern": "("}))
    check_contract(contract(x={"pattern": "a+"}, y={"min": 1}))


numbers = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30)


@given(numbers, st.floats(-10, 10), st.floats(0, 10), st.booleans())
def test_the_vectorised_rules_agree_with_a_loop(
    values: list[float | None], low: float, width: float, nullable: bool
) -> None:
    high = low + width

    def is_good(value: float | None) -> bool:
        return nullable if value is None or value != value else low <= value <= high

    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    result = checked(frame, x={"nullable": nullable, "min": low, "max": high})
    assert result.accepted.height == sum(map(is_good, values))
    assert result.accepted.height + result.n_bad == len(values)


def ruled(frame: pl.DataFrame, must: str, action: str = "quarantine") -> Checked:
    frame = frame.with_columns(_source=pl.lit("s"), _place=pl.int_range(pl.len()))
    rules = ContractSettings.model_validate({"rows": [{"must": must, "on_violation": action}]})
    return check(frame, rules_of(rules, frame.schema))


@pytest.mark.parametrize("action", ["drop", "quarantine"])
def test_a_row_rule_is_broken_where_it_is_false(action: str) -> None:
    frame = pl.DataFrame({"a": [1.0, 5.0, None, NAN], "b": [2.0, 2.0, 2.0, 2.0], "c": ["x", "y", None, "z"]})
    result = ruled(frame, "a < b", action)
    assert result.accepted["c"].to_list() == ["x", None], "null is not false; NAN is larger than all"
    assert [(one.rule, one.column, one.action, one.n_rows) for one in result.broken] == [
        ("must be a < b", "a, b", action, 2)
    ]
    shown = ["a 5.0, b 2.0", "a NaN, b 2.0"] if action == "quarantine" else []
    assert result.quarantined["value"].to_list() == shown


def test_a_row_rule_may_stop_the_batch() -> None:
    told = r"1 rows break the rule that a and b must be a < b, the first with a 5, b 2; correct them, or set "
    with pytest.raises(ContractError, match=told + r"data.contract.rows\[0\].on_violation to drop"):
        ruled(pl.DataFrame({"a": [5], "b": [2]}), "a < b", "stop")


@pytest.mark.parametrize(
    ("must", "told"),
    [
        ("a <", "must be an SQL expression over the columns"),
        ("aa > 1", "names 'aa', which is no column"),
        ("a + 1", "must be a condition that is true or false. Got 'a \\+ 1', which gives Int64"),
        ("1 = 1", "must name columns"),
        ("a > max(a)", "by that row alone"),
        ("c > 1", "must fit the columns"),
    ],
)
def test_a_row_rule_that_is_none_is_refused(must: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"data.contract.rows\[0\].must .*{told}"):
        ruled(pl.DataFrame({"a": [5], "c": ["x"]}), must)


def test_for_rows_that_were_answered_stop_sets_aside() -> None:
    declared = ContractSettings.model_validate(
        {
            "columns": {"a": {"min": 0, "on_violation": "stop"}, "b": {"min": 0, "on_violation": "drop"}},
            "rows": [{"must": "a < 9", "on_violation": "stop"}, {"must": "b < 9"}],
        }
    )
    frame = pl.DataFrame({"a": [-1, 10, 1], "b": [1, 1, -1], "_source": "s", "_place": [0, 1, 2]})
    result = check(frame, rules_of(answered_already(declared), frame.schema))
    assert [(one.column, one.action, one.n_rows) for one in result.broken] == [
        ("a", "quarantine", 1),
        ("b", "drop", 1),
        ("a", "quarantine", 1),
    ]
    seen = answered_already(declared, frozenset({"a"}))
    assert list(seen.columns) == ["b"] and [rule.must for rule in seen.rows] == ["b < 9"]
