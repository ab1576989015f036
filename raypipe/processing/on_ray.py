"""The same profile and the same features over Ray Data, for tables that one process should not hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import ray.data

from raypipe.core.background import in_background
from raypipe.data.profile import Profile
from raypipe.processing.stream import Chosen, FeatureTask, ProfileTask, chosen_in, merged
from raypipe.processing.stretches import Stretch
from raypipe.processing.transform import FittedTransform, Float32Matrix

if TYPE_CHECKING:
    import pyarrow as pa

Integers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]
BLOCK_ROWS = 131_072
"""Rows of an Arrow table that one task takes."""


def profile_files_over_ray(
    stretches: Sequence[Stretch], task: ProfileTask, *, chosen: Chosen | None = None
) -> Profile:
    """Return the profile of all rows, or of the chosen ones; raises DataError where there is none.

    Each stretch is read and profiled in a task of its own; the profiles add up to what
    `raypipe.processing.stream` gives, to the bit. The files must lie where every node can read them. Ray must
    be initialised.
    """
    made = _numbers(stretches).map_batches(
        _profile,
        batch_format="numpy",
        fn_args=(stretches, task, None if chosen is None else np.packbits(chosen)),
    )
    return merged(Profile.from_json(json.loads(row["profile"])) for row in made.iter_rows())


def write_features_over_ray(stretches: Sequence[Stretch], task: FeatureTask) -> int:
    """Write the features of all rows into the files that `raypipe.processing.stream` writes; return how many.

    Tasks read and write: every node must reach the files and the folder. Ray must be initialised.
    """
    made = _numbers(stretches).map_batches(_write, batch_format="numpy", fn_args=(stretches, task))
    return sum(row["n_rows"] for row in made.iter_rows())


def transform_over_ray(
    rows: pa.Table | ray.data.Dataset, transform: FittedTransform, *, block_rows: int = BLOCK_ROWS
) -> Float32Matrix:
    """Return the features of all rows in their order, equal to the bit to `transform.transform_table`.

    Ray must be initialised; the caller's process holds the features.
    """
    if not isinstance(rows, ray.data.Dataset):
        starts = range(0, max(rows.num_rows, 1), block_rows)
        rows = ray.data.from_arrow([rows.slice(start, block_rows) for start in starts])
    rows.context.execution_options.preserve_order = True
    made = rows.map_batches(_features, batch_format="pyarrow", fn_kwargs={"transform": transform})
    blocks = made.iter_batches(batch_size=None, batch_format="numpy")
    return _stacked((block["features"] for block in blocks), len(transform.feature_names))


def _numbers(stretches: Sequence[Stretch]) -> ray.data.Dataset:
    """Return the numbers of stretches, one a task."""
    return ray.data.range(len(stretches), override_num_blocks=len(stretches))


def _profile(
    batch: dict[str, Integers], stretches: Sequence[Stretch], task: ProfileTask, bits: Bits | None
) -> dict[str, list[str]]:
    in_background()
    chosen = None if bits is None else np.unpackbits(bits).astype(np.bool_)
    found = (task(stretches[i], chosen_in(stretches[i], chosen)) for i in batch["id"])
    return {"profile": [json.dumps(profile.to_json(), allow_nan=False) for profile in found]}


def _write(
    batch: dict[str, Integers], stretches: Sequence[Stretch], task: FeatureTask
) -> dict[str, list[int]]:
    in_background()
    return {"n_rows": [task(stretches[i], int(i)) for i in batch["id"]]}


def _features(batch: pa.Table, transform: FittedTransform) -> dict[str, Float32Matrix]:
    in_background()
    return {"features": transform.transform_table(batch)}


def _stacked(blocks: Iterable[Float32Matrix], n_features: int) -> Float32Matrix:
    empty = np.empty((0, n_features), np.float32)
    return np.concatenate([empty, *(block for block in blocks if len(block))])
