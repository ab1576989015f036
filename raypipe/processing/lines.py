"""Lines of a small table of features, looked up for many rows at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raypipe.processing.steps.lookup import Float32Matrix

Codes = npt.NDArray[np.integer]
_SPARSE_FACTOR = 3
"""Writing a number at its place costs as much as copying so many from a column of the table."""


class Lines:
    """Writes lines of a table by code: column by column, or only what is not 0 where that is little."""

    def __init__(self, table: Float32Matrix) -> None:
        filled = table != 0
        self._n_filled = int(filled.sum(axis=1).max(initial=0))
        self._columns = [np.ascontiguousarray(table[:, i]) for i in range(table.shape[1])]
        self._places: list[npt.NDArray[np.intp]] = []
        self._values: list[npt.NDArray[np.float32]] = []
        if self._is_sparse:
            self._take_apart(table, filled)

    @property
    def _is_sparse(self) -> bool:
        return len(self._columns) > _SPARSE_FACTOR * self._n_filled

    def _take_apart(self, table: Float32Matrix, filled: npt.NDArray[np.bool_]) -> None:
        # First in each line what is not 0; a line with less of it repeats its first such number.
        order = np.argsort(~filled, axis=1, kind="stable")
        lines = np.arange(len(table))
        for i in range(self._n_filled):
            places = np.where(filled[lines, order[:, i]], order[:, i], order[:, 0])
            self._places.append(places.astype(np.intp))
            self._values.append(table[lines, places])

    def write(self, codes: Codes, out: Float32Matrix) -> None:
        """Write the line of each code; `out` has columns that lie together."""
        if not self._is_sparse:
            for i, column in enumerate(self._columns):
                column.take(codes, out=out[:, i], mode="clip")
            return
        out[:] = 0
        rows = np.arange(len(out))
        for places, values in zip(self._places, self._values, strict=True):
            out[rows, places[codes]] = values[codes]
