"""Target encodings of the training rows themselves: of other rows' labels alone.

A row's own label must not be in its features, or a model learns to read it there. So training rows are cut
into folds, and each fold is encoded by what other folds say. Without event time a row's fold is a hash of
its place, and all other folds count. With event time folds are stretches of time, and only earlier ones
count, as they will at the endpoint; the rows of the first stretch are encoded as if nothing were known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raypipe.processing.steps.lookup import Float32Matrix

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.split import Places
    from raypipe.processing.steps import FittedStep

N_HASHED = 5
N_STRETCHES = 16
_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)


@dataclass(frozen=True)
class Folds:
    """Which fold each training row is in, by its place among them, and what a fold may know."""

    starts: tuple[int, ...] | None = None
    """The place at which each stretch of time begins; none for folds by hash."""

    @classmethod
    def in_time(cls, times: npt.NDArray[np.int64]) -> Folds:
        """Cut rows in the order of time into stretches; rows of one moment are in one of them."""
        moments = np.flatnonzero(np.concatenate(([True], times[1:] != times[:-1])))[: len(times)]
        wanted = [len(times) * i // N_STRETCHES for i in range(N_STRETCHES)]
        starts = moments[np.searchsorted(moments, wanted, side="right") - 1]
        # Rows of one moment have no order among them.
        return cls(tuple(sorted(set(starts.tolist())))) if len(moments) > 1 else cls()

    @property
    def n(self) -> int:
        return N_HASHED if self.starts is None else len(self.starts)

    def of(self, start: int | Places, n_rows: int) -> npt.NDArray[np.int64]:
        """Return the folds of the training rows at the places from `start` on, or at those that it lists."""
        places = np.arange(start, start + n_rows, dtype=np.int64) if isinstance(start, int) else start
        if self.starts is None:
            return ((places.astype(np.uint64) * _GOLDEN) >> np.uint64(33)).astype(np.int64) % N_HASHED
        return np.searchsorted(np.array(self.starts), places, side="right").astype(np.int64) - 1

    @property
    def in_order(self) -> bool:
        """Whether a fold may know earlier ones alone, and not all others."""
        return self.starts is not None


@dataclass(frozen=True)
class FoldTables:
    """One encoded category of the training rows: the features of each code, fold by fold."""

    place: int
    """Where its features begin."""
    step: FittedStep
    tables: npt.NDArray[np.float32]
    """Shape (folds, codes, targets)."""


@dataclass(frozen=True)
class OutOfFold:
    """What replaces the target encodings of training rows; nothing where no column is so encoded."""

    folds: Folds = Folds()
    encoded: tuple[FoldTables, ...] = ()

    def replaced(self, features: Float32Matrix, rows: pa.Table, start: int | Places = 0) -> Float32Matrix:
        """Write the encodings of training rows into features; `start` is as in `Folds.of`.

        `features` are those of `FittedTransform.transform_table` for these rows; they are changed in place.
        """
        if not self.encoded:
            return features
        from raypipe.processing.table import target_codes

        folds = self.folds.of(start, rows.num_rows)
        for one in self.encoded:
            width = one.tables.shape[2]
            found = one.tables[folds, target_codes(one.step, rows)]
            features[:, one.place : one.place + width] = found
        return features
