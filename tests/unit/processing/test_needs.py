"""A fit needs no more of the profile than `needed_parts` says, and is the same without the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.config import DataSettings
from raypipe.data.profile import ALL_PARTS, Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.needs import needed_parts

N = 400
DATA = DataSettings.model_validate(
    {"sources": [{"name": "s", "format": "csv", "path": "-"}], "label": "y", "time": "t"}
)


def rows() -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "x": pa.array(random.normal(size=N).round(1), mask=random.random(N) < 0.1),
            "i": random.integers(0, 9, N),
            "flag": random.random(N) < 0.5,
            "text": random.choice(["a", "b", "c d"], N),
            "t": pa.array(np.arange(N) * 7_000_000_000, pa.timestamp("us")),
        }
    )


NUMBERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"impute": "mean"}, set()),
    ({"impute": "constant", "scale": "minmax"}, set()),
    ({"impute": "mean", "scale": "none", "transform": "none"}, set()),
    ({"impute": "median"}, {"quantiles"}),
    ({"impute": "mode"}, {"quantiles", "values"}),
    ({"impute": "mean", "scale": "robust"}, {"quantiles"}),
    ({"impute": "mean", "clip": [0.1, 0.9]}, {"quantiles"}),
    ({"impute": "mean", "transform": "log"}, {"quantiles"}),
    ({"impute": "mean", "transform": "yeo_johnson", "scale": "none"}, {"quantiles"}),
    ({"bins": {"by": "quantile"}}, {"quantiles"}),
    ({"bins": {"by": "width"}}, set()),
    ({"bins": {"by": "width"}, "clip": [0.1, 0.9]}, {"quantiles"}),
]


@pytest.mark.parametrize(("numeric", "needed"), NUMBERS)
def test_numbers(numeric: dict[str, Any], needed: set[str]) -> None:
    check({"numeric": numeric}, {"x": needed, "i": needed})


@pytest.mark.parametrize("encode", ["onehot", "ordinal", "hash"])
def test_categories(encode: str) -> None:
    wanted = {name: {"values"} for name in ("i", "flag", "text")}
    check({"as_category": ["i"], "categorical": {"encode": encode, "impute": "mode"}}, wanted)


def test_text_and_dates() -> None:
    check({"columns": [{"match": "text", "encode": "text"}]}, {"text": {"values"}, "t": set()})


def check(said: dict[str, Any], wanted: dict[str, set[str]]) -> None:
    table, settings = rows(), ProcessingSettings.model_validate({"use_time": True, **said})
    columns = schema_columns(table.schema)
    parts = needed_parts(columns, settings)
    assert {name: set(parts[name]) for name in wanted} == wanted
    whole = Profile.of_columns(table, columns, dict.fromkeys(table.column_names, ALL_PARTS))
    needed = Profile.of_columns(table, columns, parts)
    assert fit_transform(needed, columns, DATA, settings) == fit_transform(whole, columns, DATA, settings)
