"""pandas to read and write, a ColumnTransformer of scikit-learn between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks.processing.job import FEW, FILE, MANY, NUMBERS, TIME, feature_names, spread_parts


def run(source: Path, target: Path) -> None:
    """Fit and transform in memory, then write."""
    rows = pd.read_parquet(source)
    # Scaling leaves NaN where it is, so that means and deviations are those of the values that are there.
    numbers = make_pipeline(
        StandardScaler(copy=False), SimpleImputer(add_indicator=True), FunctionTransformer(_side_by_side)
    )
    one_hot = OneHotEncoder(dtype=np.float32, sparse_output=False)
    place = make_pipeline(OrdinalEncoder(), FunctionTransformer(_spread_places))
    parts = [
        ("numbers", numbers, list(NUMBERS)),
        ("few", one_hot, [FEW]),
        ("many", place, [MANY]),
        ("time", FunctionTransformer(_parts), [TIME]),
    ]
    made = ColumnTransformer(parts).fit_transform(rows)
    target.mkdir()
    pd.DataFrame(made, columns=feature_names(), copy=False).to_parquet(target / FILE, compression="lz4")


def _side_by_side(made: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Put each number's indicator beside it."""
    together = made.astype(np.float32).reshape(len(made), 2, -1)
    return np.ascontiguousarray(together.swapaxes(1, 2)).reshape(len(made), -1)


def _spread_places(codes: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return ((codes + 1) / (codes.max() + 1)).astype(np.float32)


def _parts(rows: pd.DataFrame) -> npt.NDArray[np.float32]:
    return np.column_stack(spread_parts(rows[TIME]))
