"""The fitted transform: one object that makes features for training, batch prediction and the endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raypipe.core.ids import Json
from raypipe.data.schema import Column, Value

if TYPE_CHECKING:
    import pyarrow as pa

Float32Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FittedTransform:
    """Columns in, features out: float32, shape (n_rows, n_features), C-contiguous, never NaN or infinite."""

    inputs: tuple[Column, ...]
    """Columns that a request brings; one that is not nullable must be there."""
    ignored: tuple[str, ...]
    """Columns of the data version that a request may carry and that are not used."""
    feature_names: tuple[str, ...]

    def transform_table(self, table: pa.Table) -> Float32Matrix:
        """Return the features of a table's rows."""
        raise NotImplementedError

    def transform_rows(self, rows: Sequence[Mapping[str, Value]]) -> Float32Matrix:
        """Return the features of a few rows, equal to the bit to what `transform_table` gives."""
        raise NotImplementedError

    def to_json(self) -> Json:
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: Json) -> FittedTransform:
        raise NotImplementedError
