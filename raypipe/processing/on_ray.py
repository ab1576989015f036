"""The same profile and the same features over Ray Data, for tables that one process should not hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import ray.data

from raypipe.core.errors import DataError
from raypipe.data.profile import Profile
from raypipe.processing.transform import FittedTransform, Float32Matrix

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 131_072
"""Rows of an Arrow table that one task takes."""


def profile_over_ray(
    rows: pa.Table | ray.data.Dataset, columns: Sequence[str] | None = None, *, block_rows: int = BLOCK_ROWS
) -> Profile:
    """Return the profile of all rows, or of the named columns; raises DataError where there is no row.

    Each block is profiled where it lies; the profiles add up to what `Profile.of_table` gives, to the bit.
    Ray must be initialised.
    """
    dataset = _dataset(rows, block_rows)
    profiled = dataset.map_batches(_profile, batch_format="pyarrow", fn_kwargs={"columns": columns})
    parts = [Profile.from_json(json.loads(row["profile"])) for row in profiled.iter_rows()]
    if not parts:
        raise DataError("There must be rows to profile. Got none.")
    return reduce(Profile.merge, parts)


def transform_over_ray(
    rows: pa.Table | ray.data.Dataset, transform: FittedTransform, *, block_rows: int = BLOCK_ROWS
) -> Float32Matrix:
    """Return the features of all rows in their order, equal to the bit to `transform.transform_table`.

    Ray must be initialised; the caller's process holds the features.
    """
    dataset = _dataset(rows, block_rows)
    made = dataset.map_batches(_features, batch_format="pyarrow", fn_kwargs={"transform": transform})
    blocks = made.iter_batches(batch_size=None, batch_format="numpy")
    return _stacked((block["features"] for block in blocks), len(transform.feature_names))


def _dataset(rows: pa.Table | ray.data.Dataset, block_rows: int) -> ray.data.Dataset:
    if not isinstance(rows, ray.data.Dataset):
        starts = range(0, max(rows.num_rows, 1), block_rows)
        rows = ray.data.from_arrow([rows.slice(start, block_rows) for start in starts])
    rows.context.execution_options.preserve_order = True
    return rows


def _profile(batch: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa

    _one_thread_for_polars()
    text = json.dumps(Profile.of_table(batch, columns).to_json(), allow_nan=False)
    return pa.table({"profile": pa.array([text], pa.large_string())})


def _features(batch: pa.Table, transform: FittedTransform) -> dict[str, Float32Matrix]:
    _one_thread_for_polars()
    return {"features": transform.transform_table(batch)}


def _one_thread_for_polars() -> None:
    """Keep a task to the CPU that it holds; heeded as long as polars is not imported yet."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")


def _stacked(blocks: Iterable[Float32Matrix], n_features: int) -> Float32Matrix:
    empty = np.empty((0, n_features), np.float32)
    return np.concatenate([empty, *(block for block in blocks if len(block))])
