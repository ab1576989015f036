"""Which rows train, which choose, and which judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import pairwise
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.errors import DataError
from raypipe.data.config import SplitSettings

Places: TypeAlias = npt.NDArray[np.int64]


class Rows(Protocol):
    """What an Arrow table of a part's rows can do; they need not be in memory for it."""

    @property
    def num_rows(self) -> int: ...

    @property
    def column_names(self) -> list[str]: ...

    def select(self, names: Sequence[str], /) -> Rows:
        """Return the same rows with these columns alone."""
        ...

    def take(self, places: Sequence[int] | Places, /) -> pa.Table:
        """Return rows by their places, in that order, as a table."""
        ...

    def __getitem__(self, name: str, /) -> pa.ChunkedArray:
        """Return one column of all rows."""
        ...


@dataclass(frozen=True)
class Split:
    """The three parts; `boundaries` are the ISO times at which validation and test start (none if random)."""

    train: Rows
    validation: Rows
    test: Rows
    by: Literal["time", "random"]
    boundaries: tuple[str, ...]

    @property
    def parts(self) -> tuple[Rows, Rows, Rows]:
        return self.train, self.validation, self.test

    def without(self, column: str) -> Split:
        """Return the same parts without a column."""
        train, validation, test = (
            part.select([name for name in part.column_names if name != column]) for part in self.parts
        )
        return replace(self, train=train, validation=validation, test=test)


@dataclass(frozen=True)
class Cut:
    """The places of the rows of each part, in their order; otherwise as in `Split`."""

    train: Places
    validation: Places
    test: Places
    by: Literal["time", "random"]
    boundaries: tuple[str, ...]

    def of(self, table: pa.Table) -> Split:
        """Return the parts of the table that was cut."""
        train, validation, test = (
            table.take(pa.array(part)) for part in (self.train, self.validation, self.test)
        )
        return Split(train, validation, test, self.by, self.boundaries)

    def among(self, places: Places) -> Cut:
        """Return the same parts of rows that had these places among others."""
        train, validation, test = (places[part] for part in (self.train, self.validation, self.test))
        return replace(self, train=train, validation=validation, test=test)


def split_rows(table: pa.Table, settings: SplitSettings, *, time: str | None, seed: int) -> Split:
    """Return the parts of a table as `cut_rows` cuts them."""
    times = None if time is None else table[time]
    return cut_rows(times, table.num_rows, settings, seed=seed).of(table)


def cut_rows(times: pa.ChunkedArray | None, n_rows: int, settings: SplitSettings, *, seed: int) -> Cut:
    """Cut rows by event time, or at random without; raises DataError for a part without rows.

    By time, the newest rows test and the next older validate; each part is sorted by time, rows of one time
    keep their order, and rows of one time are never in two parts. At random, one seed always gives the same
    parts, each in the order of the rows.
    """
    if times is None:
        return _at_random(n_rows, settings, seed)
    return _by_time(times, settings)


def _by_time(times: pa.ChunkedArray, settings: SplitSettings) -> Cut:
    numbers = times.cast(pa.int64()).to_numpy()
    order = _in_order(numbers)
    ordered = numbers if order is None else numbers[order]
    n_rows = len(ordered)
    cuts = [_start_of_tie(ordered, cut) for cut in _cuts(n_rows, settings)]
    places = np.arange(n_rows) if order is None else order
    starts = tuple(_iso(times[int(places[cut])]) if cut < n_rows else "" for cut in cuts)
    return _checked(places, (0, *cuts, n_rows), "time", starts)


def _in_order(times: Places) -> Places | None:
    """Return the places of the rows in the order of time; None where that is their own order."""
    if (times[1:] >= times[:-1]).all():
        return None
    order: Places = pc.sort_indices(pa.array(times)).to_numpy().view(np.int64)
    return order


def _at_random(n_rows: int, settings: SplitSettings, seed: int) -> Cut:
    validation, test = _cuts(n_rows, settings)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(n_rows)
    parts = (shuffled[:validation], shuffled[validation:test], shuffled[test:])
    order = np.concatenate([np.sort(part) for part in parts])
    return _checked(order, (0, validation, test, n_rows), "random", ())


def _cuts(n_rows: int, settings: SplitSettings) -> tuple[int, int]:
    test = n_rows - round(n_rows * settings.test)
    return test - round(n_rows * settings.validation), test


def _start_of_tie(times: Places, cut: int) -> int:
    """Move a cut back to the first row of its time, so that the newer part takes all rows of that time."""
    return int(np.searchsorted(times, times[cut], side="left")) if cut < len(times) else cut


def _iso(value: pa.Scalar) -> str:
    return str(value.as_py().astimezone(UTC).isoformat())


def _checked(
    order: Places, cuts: tuple[int, ...], by: Literal["time", "random"], boundaries: tuple[str, ...]
) -> Cut:
    parts = [order[start:end] for start, end in pairwise(cuts)]
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if not len(part):
            raise DataError(
                f"the split by {by} leaves the {name} part without rows: the others take all "
                f"of {len(order):,}; bring more rows (or more distinct times), or change data.split."
            )
    train, validation, test = parts
    return Cut(train, validation, test, by, boundaries)
