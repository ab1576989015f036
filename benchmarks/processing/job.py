"""The job that all peers do: the same rows, the same features, float32, a Parquet file or a folder of them.

Eight numbers of which 5% are null (mean imputed, missing marked, standardised), a category of 50 values
(one-hot), one of 1,000 (its place in the order of its texts, from 1/1000 to 1), and a moment (month, weekday
and hour, each spread over [-1, 1]): 70 features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

NUMBERS = tuple(f"x{i}" for i in range(8))
FEW, MANY, TIME = "shop", "product", "at"
FILE = "features.parquet"
FEW_TEXTS = tuple(f"shop-{i:02d}" for i in range(50))
MANY_TEXTS = tuple(f"product-{i:04d}" for i in range(1000))
PARTS = (("month", 1, 12), ("weekday", 0, 6), ("hour", 0, 23))
"""Each part of the moment with its smallest and largest value; weekdays from Monday on."""

PROCESSING: dict[str, Any] = {
    "numeric": {"impute": "mean"},
    "categorical": {"max_categories": len(FEW_TEXTS)},
    "columns": [{"match": MANY, "encode": "ordinal", "order": "lexical", "min_count": 1}],
    "date": {"parts": [part for part, _, _ in PARTS], "cycles": False},
}
"""The job as a config of raypipe says it."""

_CHUNK_ROWS = 1_000_000
_NULL_RATIO = 0.05
_FIRST_US, _YEAR_US = 1_704_067_200_000_000, 366 * 86_400_000_000


def feature_names(few_texts: Sequence[str] = FEW_TEXTS) -> list[str]:
    """Return the names under which every peer writes the features, in their order."""
    numbers = [name for number in NUMBERS for name in (number, f"{number}__missing")]
    one_hot = [f"{FEW}={text}" for text in few_texts]
    return [*numbers, *one_hot, f"{MANY}__place", *(f"{TIME}__{part}" for part, _, _ in PARTS)]


def write_rows(path: Path, n_rows: int, seed: int = 0) -> None:
    """Write seeded rows in row groups of pyarrow's own size."""
    writer = None
    for start in range(0, n_rows, _CHUNK_ROWS):
        rows = rows_of(np.random.default_rng([seed, start]), min(_CHUNK_ROWS, n_rows - start))
        writer = writer or parquet.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    if writer is not None:
        writer.close()


def rows_of(random: np.random.Generator, n_rows: int) -> pa.Table:
    """Return rows of which none depends on another."""
    columns: dict[str, pa.Array] = {
        name: pa.array(random.normal(i, 1 + i, n_rows), mask=random.random(n_rows) < _NULL_RATIO)
        for i, name in enumerate(NUMBERS)
    }
    columns[FEW] = _texts(FEW_TEXTS, random.integers(0, len(FEW_TEXTS), n_rows))
    columns[MANY] = _texts(MANY_TEXTS, random.integers(0, len(MANY_TEXTS), n_rows))
    moments = _FIRST_US + random.integers(0, _YEAR_US, n_rows)
    columns[TIME] = pa.array(moments, pa.timestamp("us"))
    return pa.table(columns)


def _texts(values: Sequence[str], codes: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(values).take(pa.array(codes))


def spread_parts(moments: pd.Series[pd.Timestamp]) -> list[npt.NDArray[np.float32]]:
    """Return the parts of moments as pandas gives them, each spread over [-1, 1]."""
    found = (getattr(moments.dt, part).to_numpy() for part, _, _ in PARTS)
    return [
        ((part - low) * (2 / (high - low)) - 1).astype(np.float32)
        for part, (_, low, high) in zip(found, PARTS, strict=True)
    ]
