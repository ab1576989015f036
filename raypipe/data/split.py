"""Which rows train, which choose, and which judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.errors import DataError
from raypipe.data.config import SplitSettings


@dataclass(frozen=True)
class Split:
    """The three parts; `boundaries` are the ISO times at which validation and test start (none if random)."""

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    by: Literal["time", "random"]
    boundaries: tuple[str, ...]

    def without(self, column: str) -> Split:
        """Return the same parts without a column."""
        train, validation, test = (
            part.drop_columns([column]) for part in (self.train, self.validation, self.test)
        )
        return replace(self, train=train, validation=validation, test=test)


def split_rows(table: pa.Table, settings: SplitSettings, *, time: str | None, seed: int) -> Split:
    """Split by event time, or at random where there is none; raises DataError for a part without rows.

    By time, the newest rows test and the next older validate; each part is sorted by time, rows of one time
    keep their order, and rows of one time are never in two parts. At random, one seed always gives the same
    parts, each in the table's order.
    """
    if time is None:
        return _at_random(table, settings, seed)
    return _by_time(table, settings, time)


def _by_time(table: pa.Table, settings: SplitSettings, time: str) -> Split:
    order = pc.sort_indices(pc.cast(table[time], pa.int64())) if table.num_rows else pa.array([], pa.int64())
    ordered = table.take(order)
    times = ordered[time].cast(pa.int64()).to_numpy()
    validation, test = (_start_of_tie(times, cut) for cut in _cuts(len(times), settings))
    starts = tuple(_iso(ordered[time][cut]) if cut < len(times) else "" for cut in (validation, test))
    return _checked(ordered, (0, validation, test, len(times)), "time", starts)


def _at_random(table: pa.Table, settings: SplitSettings, seed: int) -> Split:
    n_rows = table.num_rows
    validation, test = _cuts(n_rows, settings)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(n_rows)
    parts = (shuffled[:validation], shuffled[validation:test], shuffled[test:])
    order = np.concatenate([np.sort(part) for part in parts])
    return _checked(table.take(pa.array(order)), (0, validation, test, n_rows), "random", ())


def _cuts(n_rows: int, settings: SplitSettings) -> tuple[int, int]:
    test = n_rows - round(n_rows * settings.test)
    return test - round(n_rows * settings.validation), test


def _start_of_tie(times: np.ndarray, cut: int) -> int:
    """Move a cut back to the first row of its time, so that the newer part takes all rows of that time."""
    return int(np.searchsorted(times, times[cut], side="left")) if cut < len(times) else cut


def _iso(value: pa.Scalar) -> str:
    return str(value.as_py().astimezone(UTC).isoformat())


def _checked(
    ordered: pa.Table, cuts: tuple[int, ...], by: Literal["time", "random"], boundaries: tuple[str, ...]
) -> Split:
    parts = [ordered.slice(start, end - start) for start, end in pairwise(cuts)]
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if part.num_rows == 0:
            raise DataError(
                f"the split by {by} leaves the {name} part without rows: the others take all "
                f"of {ordered.num_rows:,}; bring more rows (or more distinct times), or change data.split."
            )
    train, validation, test = parts
    return Split(train, validation, test, by, boundaries)
