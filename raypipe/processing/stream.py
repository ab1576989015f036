"""Profiles and features of whole Parquet files, in bounded memory, on the cores of this machine.

`raypipe.processing.on_ray` gives the same work to Ray Data's tasks, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import count
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.core.errors import DataError
from raypipe.core.threads import in_threads
from raypipe.data.profile import Part, Profile
from raypipe.data.schema import Column
from raypipe.processing.features_file import FeaturesFile
from raypipe.processing.stretches import Stretch
from raypipe.processing.transform import FittedTransform

Chosen: TypeAlias = npt.NDArray[np.bool_]
"""Whether each row is looked at."""


@dataclass(frozen=True)
class ProfileTask:
    """What to find out about the rows of a stretch."""

    columns: tuple[Column, ...]
    parts: Mapping[str, Collection[Part]] = field(default_factory=dict)
    """What to make of columns besides counts, ends and moments; everything of those not named here."""

    def __call__(self, stretch: Stretch, chosen: Chosen | None = None) -> Profile:
        """Return the profile of its rows, or of those that are chosen."""
        return merged(self._of(rows) for rows in _chosen(stretch, self.columns, chosen))

    def _of(self, rows: pa.Table) -> Profile:
        return Profile.of_columns(rows, self.columns, self.parts)


@dataclass(frozen=True)
class FeatureTask:
    """What to write of the rows of a stretch: features as float32, and some columns as they are."""

    transform: FittedTransform
    folder: Path
    kept: tuple[str, ...] = ()

    def __call__(self, stretch: Stretch, number: int) -> int:
        """Write a file of the folder, whose name sorts by the number; return how many rows it has."""
        inputs = [column.name for column in self.transform.inputs]
        names = list(dict.fromkeys((*inputs, *self.kept)))
        with FeaturesFile(self.folder / f"part-{number:06d}.parquet") as file:
            for _, rows in stretch.batches(names):
                features = self.transform.transform_table(rows, order="F")
                file.write(self.transform.feature_names, features, rows.select(self.kept))
        return stretch.n_rows


def profile_files(
    stretches: Sequence[Stretch],
    task: ProfileTask,
    *,
    chosen: Chosen | None = None,
    n_threads: int | None = None,
) -> Profile:
    """Return the profile of all rows, or of the chosen ones, to the bit that of one table of them.

    Raises DataError where there is no row.
    """

    def one(stretch: Stretch) -> Profile:
        return task(stretch, chosen_in(stretch, chosen))

    return merged(in_threads(one, stretches, n_threads=n_threads))


def write_features(stretches: Sequence[Stretch], task: FeatureTask, *, n_threads: int | None = None) -> int:
    """Write the features of all rows into files whose names sort in the order of the rows; return how many.

    Raises SchemaError for a column that does not fit the transform.
    """
    return sum(in_threads(task, stretches, count(), n_threads=n_threads))


def chosen_in(stretch: Stretch, chosen: Chosen | None) -> Chosen | None:
    """Return the part of `chosen` that is about a stretch."""
    return None if chosen is None else chosen[stretch.start : stretch.start + stretch.n_rows]


def merged(profiles: Iterable[Profile]) -> Profile:
    """Return the profile of all rows together; raises DataError where there is none."""
    found = list(profiles)
    if not found:
        raise DataError("There must be rows to profile. Got none.")
    return reduce(Profile.merge, found)


def _chosen(stretch: Stretch, columns: Sequence[Column], chosen: Chosen | None) -> Iterator[pa.Table]:
    for start, rows in stretch.batches([column.name for column in columns]):
        at = start - stretch.start
        yield rows if chosen is None else rows.filter(pa.array(chosen[at : at + rows.num_rows]))
