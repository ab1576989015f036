"""Many texts by hash: each distinct one is taken apart once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from raypipe.processing.steps.hashed import FittedHash, FittedText, place_of
from raypipe.processing.steps.lookup import Float32Matrix


class HashedTexts:
    """The features of a series of texts, held as the few that are not 0."""

    def __init__(self, step: FittedHash | FittedText, texts: pl.Series) -> None:
        self._step = step
        self._missing = texts.is_null().to_numpy()
        fill = step.fill if isinstance(step, FittedHash) else None
        distinct = texts.fill_null("" if fill is None else fill).unique(maintain_order=True)
        codes = texts.fill_null("" if fill is None else fill).replace_strict(
            distinct, np.arange(len(distinct)), return_dtype=pl.Int64
        )
        self._codes = codes.to_numpy()
        weights = [_weights(step, text) for text in distinct.to_list()]
        self._starts = np.cumsum([0, *(len(found) for found in weights)])
        self._places = np.array([place for found in weights for place in found], np.intp)
        self._weights = np.array([weight for found in weights for weight in found.values()], np.float32)
        self._empty = np.zeros(len(texts), np.bool_) if fill is not None else self._missing

    def write(self, block: slice, out: Float32Matrix) -> None:
        """Write the features of some of the texts."""
        out[:] = 0
        codes, present = self._codes[block], ~self._empty[block]
        lines, found = _flattened(self._starts, codes[present], np.flatnonzero(present))
        out[lines, self._places[found]] = self._weights[found]
        if self._step.missing:
            out[:, -1] = self._missing[block]


def _flattened(
    starts: npt.NDArray[np.intp], codes: npt.NDArray[np.int64], lines: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return, for each weight of each line, the line and where the weight is kept."""
    counts = starts[codes + 1] - starts[codes]
    before = np.cumsum(counts) - counts
    within = np.arange(counts.sum()) - np.repeat(before, counts)
    return np.repeat(lines, counts), np.repeat(starts[codes], counts) + within


def _weights(step: FittedHash | FittedText, text: str) -> dict[int, float]:
    if isinstance(step, FittedText):
        return step.weights(text)
    place, sign = place_of(text, step.n_features)
    return {place: sign}
