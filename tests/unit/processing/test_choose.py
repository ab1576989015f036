from __future__ import annotations

import pytest
from pydantic import ValidationError

from raypipe.core.errors import ConfigError
from raypipe.data.schema import Column, ColumnKind
from raypipe.processing.choose import check_rules, chosen
from raypipe.processing.column_settings import CategoricalStep, DateStep, KindStep, NumericStep
from raypipe.processing.config import ProcessingSettings


def settings(*rules: object, **others: object) -> ProcessingSettings:
    return ProcessingSettings.model_validate({"columns": rules, **others})


def of(kind: ColumnKind, *rules: object, name: str = "cost_a", **others: object) -> KindStep:
    return chosen(Column(name, kind, True), settings(*rules, **others))


def test_the_first_rule_that_matches_counts() -> None:
    rules = [{"match": ["price", "cost_*"], "scale": "robust"}, {"match": "*", "scale": "none"}]
    assert of("number", *rules) == NumericStep(scale="robust")
    assert of("number", *rules, name="other") == NumericStep(scale="none")
    assert of("number", name="Cost_a") == NumericStep()


def test_what_a_rule_leaves_unsaid_is_as_for_the_kind() -> None:
    found = of("number", {"match": "cost_a", "clip": [0, 0.9]}, numeric={"impute": "mean", "scale": "none"})
    assert found == NumericStep(impute="mean", scale="none", clip=(0, 0.9))


def test_kinds() -> None:
    assert isinstance(of("timestamp"), DateStep)
    assert isinstance(of("boolean"), CategoricalStep)
    assert isinstance(of("integer"), NumericStep)
    assert isinstance(of("integer", as_category=["cost_a"]), CategoricalStep)
    assert of("integer", {"match": "cost_a", "encode": "hash"}) == CategoricalStep(encode="hash")
    assert of("category", {"match": "*", "impute": "constant", "value": 7}).value == "7"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "rule", "sentence"),
    [
        (
            "category",
            {"scale": "none"},
            "sets scale and matches 'cost_a', which is a category: scale is not for",
        ),
        (
            "number",
            {"encode": "hash"},
            "sets encode and matches 'cost_a', which is a number: encode is not for",
        ),
        ("timestamp", {"impute": "mean"}, "which is a date: impute is not for a date"),
        (
            "integer",
            {"encode": "onehot", "scale": "none"},
            "which is a category: scale is not for a category",
        ),
        (
            "number",
            {"impute": "none"},
            r"columns\[0\].impute does not suit a number \(matches 'cost_a'\): Input",
        ),
        ("number", {"impute": "constant", "value": "x"}, r"columns\[0\].value does not suit a number"),
        (
            "category",
            {"n_features": 8},
            r"columns\[0\].n_features must be for encode hash or text. Got onehot",
        ),
        (
            "category",
            {"encode": "target", "impute": "mode"},
            "impute must be for encode onehot or ordinal or hash",
        ),
    ],
)
def test_a_rule_of_another_kind_is_refused(kind: ColumnKind, rule: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        of(kind, {"match": "cost_a", **rule})


def test_a_rule_that_matches_nothing_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"columns\[1\].match must match .* Got 'prise': did you mean 'price'"
    ):
        check_rules(["price", "cost"], settings({"match": "c*"}, {"match": ["price", "prise"]}))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"columns": [{"match": "a", "clip": [0.9, 0.1]}]}, "first quantile must be below the second"),
        ({"columns": [{"match": "a", "ngrams": [2, 1]}]}, "first number must not be above the second"),
        ({"columns": [{"match": "a", "value": 3}]}, "write both or neither"),
        ({"columns": [{"match": "a", "impute": "constant"}]}, "write both or neither"),
        ({"columns": [{"match": []}]}, "at least 1 item"),
        ({"crosses": [["a"]]}, "at least 2 items"),
        ({"custom": [{"columns": ["a"]}], "allow_code": True}, "a function or a transformer, and not both"),
        ({"custom": [{"columns": ["a"], "function": "math"}], "allow_code": True}, "should match pattern"),
        ({"custom": [{"columns": ["a"], "function": "m:f"}]}, "runs code .m:f. here and wherever a model"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_load(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ProcessingSettings.model_validate(wrong)


def test_a_cross_is_a_list_of_names_or_says_more() -> None:
    crosses = settings(crosses=[["a", "b"], {"columns": ["a", "c"], "encode": "hash"}]).crosses
    assert [cross.columns for cross in crosses] == [("a", "b"), ("a", "c")]
    assert [cross.encode for cross in crosses] == [None, "hash"]
