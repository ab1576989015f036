"""Ray Data without raypipe: an aggregation and a map of one's own; and the preprocessors that Ray brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray.data
from ray.data.aggregate import Mean, Std, Unique
from ray.data.preprocessors import Chain, OneHotEncoder, OrdinalEncoder, SimpleImputer, StandardScaler

from benchmarks.processing.job import FEW, MANY, NUMBERS, PARTS, TIME, feature_names, spread_parts


def by_map(source: Path, target: Path) -> None:
    """Fit by one aggregation, then map batches of pandas and write."""
    rows = ray.data.read_parquet(str(source))
    fits = [fit(name) for name in NUMBERS for fit in (Mean, _std)]
    fitted = rows.aggregate(*fits, Unique(FEW), Unique(MANY))
    texts = {name: sorted(fitted[f"unique({name})"]) for name in (FEW, MANY)}
    made = rows.map_batches(_features, batch_format="pandas", fn_kwargs={"fitted": fitted, "texts": texts})
    made.write_parquet(str(target))


def by_chain(source: Path, target: Path) -> None:
    """Fit and transform by a chain of preprocessors; what none of them does is mapped before and after."""
    rows = ray.data.read_parquet(str(source)).map_batches(_marked, batch_format="pandas")
    chain = Chain(
        StandardScaler(list(NUMBERS)),
        SimpleImputer(list(NUMBERS), strategy="mean"),
        OneHotEncoder([FEW]),
        OrdinalEncoder([MANY]),
    )
    made = chain.fit_transform(rows).map_batches(_named, batch_format="pandas")
    made.write_parquet(str(target))


def _std(name: str) -> Std:
    return Std(name, ddof=0)


def _features(rows: pd.DataFrame, fitted: Mapping[str, Any], texts: Mapping[str, list[str]]) -> pd.DataFrame:
    columns: list[Any] = []
    for name in NUMBERS:
        numbers = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        missing = np.isnan(numbers)
        scaled = (numbers - fitted[f"mean({name})"]) / fitted[f"std({name})"]
        columns += [np.where(missing, 0.0, scaled), missing]
    few = pd.Categorical(rows[FEW], categories=texts[FEW]).codes
    columns += [few == code for code in range(len(texts[FEW]))]
    columns.append((pd.Categorical(rows[MANY], categories=texts[MANY]).codes + 1.0) / len(texts[MANY]))
    return _as_float32([*columns, *spread_parts(rows[TIME])])


def _marked(rows: pd.DataFrame) -> pd.DataFrame:
    parts = zip(PARTS, spread_parts(rows[TIME]), strict=True)
    made = {f"{TIME}__{part}": values for (part, _, _), values in parts}
    missing = {f"{name}__missing": rows[name].isna().to_numpy() for name in NUMBERS}
    numbers = {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in NUMBERS}
    return rows.drop(columns=TIME).assign(**numbers, **missing, **made)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    numbers = [rows[column] for name in NUMBERS for column in (name, f"{name}__missing")]
    one_hot = np.stack(rows[FEW].to_list())
    places = (rows[MANY].to_numpy() + 1.0) / 1000
    parts = [rows[f"{TIME}__{part}"] for part, _, _ in PARTS]
    return _as_float32([*numbers, *one_hot.T, places, *parts])


def _as_float32(columns: list[Any]) -> pd.DataFrame:
    pairs = zip(feature_names(), columns, strict=True)
    return pd.DataFrame({name: np.asarray(column).astype(np.float32) for name, column in pairs})
