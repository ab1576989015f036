"""Steps of the user's own: functions and scikit-learn transformers, found by import path.

The one kind of step that runs code which the version's folder does not hold: importing the module that
`path` names, whenever features are made. A transformer's state is kept in skops' format, never as a pickle,
and loads only the types that `trusted` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import ArtifactError
from raypipe.core.imports import loaded
from raypipe.data.schema import Column
from raypipe.processing.steps.lookup import Float32Matrix
from raypipe.processing.steps.number import FLOAT32_MAX, Arithmetic, FittedNumber

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class FittedFunction:
    """A function of a polars frame that has the columns; NaN among its numbers count as 0."""

    columns: tuple[Column, ...]
    path: str
    params: Mapping[str, Any]
    """JSON values, by name."""
    outputs: tuple[str, ...]
    source: str
    """SHA-256 of the function's text when it was fitted."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return self.columns

    @property
    def feature_names(self) -> tuple[str, ...]:
        return _names(self.path, self.columns, self.outputs)

    def features(self, frame: pl.DataFrame) -> Float32Matrix:
        """Return the features of rows; raises ArtifactError where the function is gone or gives others."""
        return _shaped(loaded(self.path)(frame, **self.params), frame.height, len(self.outputs), self.path)


@dataclass(frozen=True)
class FittedTransformer:
    """A scikit-learn transformer of numbers, which come filled; NaN among its own numbers count as 0."""

    numbers: tuple[FittedNumber, ...]
    """How each column is filled."""
    path: str
    outputs: tuple[str, ...]
    trusted: tuple[str, ...]
    """Types beyond those that skops knows to be harmless."""
    state: bytes

    @property
    def inputs(self) -> tuple[Column, ...]:
        return tuple(step.column for step in self.numbers)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return _names(self.path, self.inputs, self.outputs)

    def features(self, values: npt.NDArray[np.float64]) -> Float32Matrix:
        """Return the features of rows of numbers; raises ArtifactError where they are of another shape."""
        made = _transformer(self.state, self.trusted).transform(filled(self.numbers, values))
        return _shaped(made, len(values), len(self.outputs), self.path)


def filled(steps: tuple[FittedNumber, ...], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return rows of numbers as a transformer gets them: float64, without gaps."""
    return Arithmetic.side_by_side(list(steps)).numbers(values)


@lru_cache
def _transformer(state: bytes, trusted: tuple[str, ...]) -> Any:
    import skops.io

    return skops.io.loads(state, trusted=list(trusted))


def numbers_in(made: Any, n_rows: int, path: str) -> Float32Matrix:
    """Return what code of the user's gave as features; raises ArtifactError for what is no numbers."""
    made = made.to_numpy() if hasattr(made, "to_numpy") else made
    made = made.toarray() if hasattr(made, "toarray") else made
    try:
        values = np.asarray(made, np.float64)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path} must give numbers. Got {type(made).__name__}: {error}.") from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n_rows:
        raise ArtifactError(
            f"{path} must give a line for each of {n_rows} rows. Got the shape {values.shape}."
        )
    return np.clip(np.nan_to_num(values, nan=0.0), -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)


def _shaped(made: Any, n_rows: int, n_outputs: int, path: str) -> Float32Matrix:
    values = numbers_in(made, n_rows, path) if n_rows else np.zeros((0, n_outputs), np.float32)
    if values.shape[1] != n_outputs:
        raise ArtifactError(
            f"{path} must give {n_outputs} numbers a row, as at training. Got {values.shape[1]}."
        )
    return values


def _names(path: str, columns: tuple[Column, ...], outputs: tuple[str, ...]) -> tuple[str, ...]:
    name = f"{path.partition(':')[2]}({','.join(column.name for column in columns)})"
    return tuple(f"{name}.{output}" for output in outputs)
