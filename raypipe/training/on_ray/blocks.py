"""Features of blocks by tasks of Ray Data; the caller's process puts them where they belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import ray.data

from raypipe.core.background import in_background
from raypipe.data.blocks import Block
from raypipe.data.split import Places

if TYPE_CHECKING:
    import numpy.typing as npt

    from raypipe.training.encoding import BlockTask, Made

    Column = npt.NDArray[np.object_]


def over_ray(task: BlockTask, blocks: Sequence[Block], places: Sequence[Places]) -> Iterator[Made]:
    """Yield what the task makes of each block, in any order; the files must lie where every node reads them.

    Ray must be initialised; a few blocks are in this process at a time.
    """
    asked = [{"block": i, "places": one.tobytes()} for i, one in enumerate(places)]
    made = ray.data.from_items(asked, override_num_blocks=len(asked)).map_batches(
        _features, batch_size=1, batch_format="numpy", fn_args=(task, tuple(blocks))
    )
    n_features = len(task.transform.feature_names)
    for row in made.iter_rows():
        target = np.frombuffer(row["target"], row["dtype"])
        features = np.frombuffer(row["features"], np.float32).reshape(len(target), n_features)
        yield np.frombuffer(row["places"], np.int64), features, target


def _features(batch: dict[str, Column], task: BlockTask, blocks: Sequence[Block]) -> dict[str, list[object]]:
    in_background()
    found: dict[str, list[object]] = {"places": [], "features": [], "target": [], "dtype": []}
    for number, asked in zip(batch["block"], batch["places"], strict=True):
        places, features, target = task(blocks[int(number)], np.frombuffer(asked, np.int64))
        found["places"].append(places.tobytes())
        found["features"].append(features.tobytes())
        found["target"].append(target.tobytes())
        found["dtype"].append(target.dtype.str)
    return found
