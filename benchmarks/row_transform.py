"""One row to features: raypipe's row path beside scikit-learn's ColumnTransformer with the same steps.

    .venv/bin/python benchmarks/row_transform.py

15 numeric columns (5% missing) and 5 categorical ones of 20 values; both impute by the median, scale, and
encode one-hot. Prints the median microseconds of a call with one row, and their ratio.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import Value, schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.transform import FittedTransform

N_NUMERIC, N_CATEGORICAL, N_VALUES = 15, 5, 20


@dataclass(frozen=True)
class Result:
    """Median microseconds a call."""

    raypipe_us: float
    sklearn_us: float

    @property
    def ratio(self) -> float:
        """How many times longer scikit-learn takes."""
        return self.sklearn_us / self.raypipe_us


def rows(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Return seeded rows."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(n_rows, N_NUMERIC))
    numbers[random.random(numbers.shape) < 0.05] = np.nan
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(N_NUMERIC)])
    for i in range(N_CATEGORICAL):
        frame[f"c{i}"] = [f"value-{code}" for code in random.integers(0, N_VALUES, n_rows)]
    return frame


def measure(n_rows: int = 5_000, n_calls: int = 2_000) -> Result:
    """Fit both on the same rows, then transform single rows."""
    frame = rows(n_rows)
    ours, theirs = fitted(frame).transform_rows, _sklearn(frame)
    dicts = plain_rows(frame.head(200))
    singles = [frame.iloc[[i]] for i in range(200)]
    return Result(
        median_us(lambda i: ours([dicts[i % 200]]), n_calls),
        median_us(lambda i: theirs(singles[i % 200]), max(20, n_calls // 20)),
    )


def fitted(frame: pd.DataFrame) -> FittedTransform:
    """Return raypipe's transform, fitted on the frame."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    source = {"name": "rows", "format": "csv", "path": "rows.csv"}
    data = DataSettings.model_validate({"sources": [source], "label": "y"})
    profile = Profile.of_table(table)
    return fit_transform(profile, schema_columns(table.schema), data, ProcessingSettings())


def _sklearn(frame: pd.DataFrame) -> Callable[[pd.DataFrame], object]:
    numeric = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", min_frequency=10)
    names = list(frame.columns)
    parts = [("numeric", numeric, names[:N_NUMERIC]), ("categorical", encoder, names[N_NUMERIC:])]
    return ColumnTransformer(parts).fit(frame).transform


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Value]]:
    """Return rows as requests bring them."""
    return [_plain(row) for row in frame.to_dict("records")]


def _plain(row: Mapping[Hashable, Any]) -> dict[str, Value]:
    return {str(name): None if value != value else value for name, value in row.items()}


def median_us(call: Callable[[int], object], n_calls: int) -> float:
    """Return the median microseconds of a call, which is given its number."""
    for i in range(10):
        call(i)
    times = []
    for i in range(n_calls):
        start = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    found = measure()
    sys.stdout.write(
        f"raypipe {found.raypipe_us:.0f} us, scikit-learn {found.sklearn_us:.0f} us, "
        f"{found.ratio:.0f} times as long\n"
    )
