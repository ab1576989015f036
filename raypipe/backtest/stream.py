"""Recorded rows in order of time: which are history, when one looks, which labels are known by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.backtest.settings import BacktestSettings, Delay
from raypipe.core.errors import DataError
from raypipe.data.schema import Column

Places = npt.NDArray[np.int64]
MIN_LOOK_ROWS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stream:
    """Rows in order of time; those from `n_history` on are played, a look after each of `ends`."""

    rows: pa.Table
    columns: tuple[Column, ...]
    times: Places
    """Microseconds since 1970, a number a row."""
    n_history: int
    ends: tuple[int, ...]
    arrivals: Places
    """How many rows have been answered when a row's label is there; never decreasing, 0 for history."""

    @property
    def looks(self) -> list[tuple[int, int]]:
        """The first row of each look, and the one after its last."""
        return list(pairwise((self.n_history, *self.ends)))

    @property
    def played(self) -> pa.Table:
        """The rows that are no history."""
        return self.rows.slice(self.n_history)

    def known(self, n_answered: int) -> int:
        """Return of how many of the oldest rows the labels are known once so many rows are answered."""
        return int(np.searchsorted(self.arrivals, n_answered, side="right"))

    def at(self, row: int) -> datetime:
        """Return the time of a row."""
        return _EPOCH + timedelta(microseconds=int(self.times[row]))


def stream_of(rows: pa.Table, columns: tuple[Column, ...], time: str, settings: BacktestSettings) -> Stream:
    """Put rows in order of time, and cut them; raises DataError where they are too few for that."""
    order = pc.sort_indices(rows[time].cast(pa.int64()))
    rows = rows.take(order)
    times = rows[time].cast(pa.int64()).to_numpy()
    n_history = _first_played(times, settings)
    n_played = len(times) - n_history
    if not n_history or n_played < settings.looks * MIN_LOOK_ROWS:
        raise DataError(
            f"a backtest needs older rows to learn from, and {MIN_LOOK_ROWS} newer ones for each of its "
            f"{settings.looks} looks. Got {n_history:,} and {n_played:,} of {len(times):,}: bring more rows, "
            "play from another moment, or look less often."
        )
    ends = np.linspace(n_history, len(times), settings.looks + 1).round().astype(int)[1:].tolist()
    arrivals = arrivals_of(times, n_history, ends, settings.label_delay)
    return Stream(rows, columns, times, n_history, tuple(ends), arrivals)


def arrivals_of(times: Places, n_history: int, ends: Sequence[int], delay: Delay) -> Places:
    """Return how many rows have been answered when each row's label is there; more than there are is never.

    Labels of history are there from the start.

    >>> arrivals_of(np.array([0, 1, 2, 3, 4, 5]), 2, [4, 6], Delay(1, "looks")).tolist()
    [0, 0, 6, 6, 7, 7]
    """
    n, rows = len(times), np.arange(len(times))
    match delay.unit:
        case "rows":
            found = rows + 1 + round(delay.amount)
        case "looks":
            look = np.searchsorted(np.array(ends), rows, side="right") + round(delay.amount)
            found = np.append(ends, n + 1)[np.minimum(look, len(ends))]
        case "s":
            there = np.searchsorted(times, times + round(delay.amount * 1e6), side="left")
            found = np.maximum(there, rows) + 1
    found = np.minimum(found, n + 1)
    found[:n_history] = 0
    return found.astype(np.int64)


def _first_played(times: Places, settings: BacktestSettings) -> int:
    """Return the first row to play; the rows of one moment are all on one side."""
    if settings.start is not None:
        start = settings.start if settings.start.tzinfo else settings.start.replace(tzinfo=UTC)
        moment = round((start - _EPOCH).total_seconds() * 1e6)
    elif len(times):
        moment = int(times[min(len(times) - 1, round(len(times) * settings.share))])
    else:
        return 0
    return int(np.searchsorted(times, moment, side="left"))
