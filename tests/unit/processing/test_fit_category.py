from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.column_settings import CategoricalStep
from raypipe.processing.fit_category import fit_category
from raypipe.processing.report import StepFit
from raypipe.processing.transform import FittedTransform

TEXT, CODE = Column("c", "category", True), Column("c", "integer", True)
COLOURS = ["red"] * 3 + ["blue"] * 2 + ["green"] + [None] * 2


def fit(values: object, column: Column = TEXT, **settings: object) -> StepFit:
    array = pa.array(values, pa.string() if column.kind == "category" else pa.int64())
    profile = ColumnProfile.of(column, pa.chunked_array([array]))
    return fit_category(profile, column, CategoricalStep.model_validate({"min_count": 2, **settings}))


def features(made: StepFit, *asked: object) -> list[list[float]]:
    assert made.step is not None
    rows = [{"c": value} for value in asked]
    found: list[list[float]] = FittedTransform((made.step,), ()).transform_rows(rows).tolist()  # type: ignore[arg-type]
    return found


def test_missing_values_may_count_as_another() -> None:
    mode = fit(COLOURS, impute="mode")
    assert mode.changed == {"filled": 2, "rare": 1}
    assert features(mode, None, "red") == [[1, 0, 0, 1], [1, 0, 0, 0]]
    constant = fit(COLOURS, impute="constant", value="blue", indicator=False)
    assert features(constant, None, "blue") == [[0, 1, 0], [0, 1, 0]]
    # A constant that is no frequent value counts as rare.
    assert features(fit(COLOURS, impute="constant", value="none", indicator=False), None) == [[0, 0, 1]]


def test_ordinal_by_frequency_text_or_as_listed() -> None:
    made = fit(COLOURS, encode="ordinal")
    assert made.changed["rare"] == 1
    assert features(made, "red", "blue", "green", "unseen", None) == [
        [0.5, 0],
        [1, 0],
        [0, 0],
        [0, 0],
        [0, 1],
    ]
    lexical = fit([10, 10, 9, 9, -1, -1], CODE, encode="ordinal", order="lexical")
    assert features(lexical, -1, 9, 10.0, 10.5) == [[pytest.approx(1 / 3)], [pytest.approx(2 / 3)], [1], [0]]
    listed = fit(COLOURS, encode="ordinal", order=["green", "red"], indicator=False, impute="mode")
    assert features(listed, "green", "red", "blue", None) == [[0.5], [1], [0], [1]]


def test_a_listed_order_of_codes_is_one_of_numbers() -> None:
    made = fit([1, 2, 3], CODE, encode="ordinal", order=["01", "2"])
    assert features(made, 1, 2, 3) == [[0.5], [1], [0]]
    with pytest.raises(ConfigError, match="order must list whole numbers for 'c'"):
        fit([1, 2], CODE, encode="ordinal", order=["low"])


def test_hash_needs_no_vocabulary() -> None:
    made = fit(COLOURS, encode="hash", n_features=8)
    red, missing = features(made, "red", None)
    assert sorted(map(abs, red)) == [0] * 8 + [1]
    assert missing == [0] * 8 + [1]
    # The places are functions of the bytes alone, on any machine and in any version.
    assert red == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    filled = fit(COLOURS, encode="hash", n_features=8, impute="mode", indicator=False)
    assert features(filled, None) == [red[:8]]


def test_words_are_counted_by_hash() -> None:
    made = fit(["one two", "three"], encode="text", n_features=64)
    [first, upper, none, empty] = features(made, "one two two", "TWO, one: \uff34\uff37\uff2f", None, "")
    assert first == upper
    assert sum(x * x for x in first) == pytest.approx(1)
    assert sorted(map(abs, filter(None, first))) == pytest.approx([5**-0.5, 2 * 5**-0.5])
    assert not any(none) and not any(empty)


def test_neighbouring_words_are_counted_too() -> None:
    made = fit(["a b c", None], encode="text", n_features=1000, ngrams=[1, 2])
    assert [sum(map(bool, found)) for found in features(made, "a b c", "a", None)] == [5, 1, 1]


def test_what_does_not_suit_a_column_is_refused() -> None:
    with pytest.raises(ConfigError, match="encode text must be for text"):
        fit([1, 2], CODE, encode="text")
    with pytest.raises(DataError, match="encode ordinal needs at most 50,000 distinct values"):
        fit([str(i) for i in range(50_001)], encode="ordinal")


def test_nothing_frequent_is_no_step() -> None:
    assert fit(["a", "b"], encode="ordinal").step is None
    assert "occurs 2 times" in fit(["a", "b"], encode="ordinal").reason
