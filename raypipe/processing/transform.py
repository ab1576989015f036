"""The fitted transform: one object that makes features for training, batch prediction and the endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json
from raypipe.data.schema import Column, Value
from raypipe.processing.report import FeatureChoice
from raypipe.processing.rows import RowEncoder
from raypipe.processing.steps import FittedStep, Float32Matrix, step_from_json

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1

__all__ = ["FORMAT", "FittedTransform", "Float32Matrix"]


@dataclass(frozen=True)
class FittedTransform:
    """Columns in, features out: float32, shape (n_rows, n_features), C-contiguous, never NaN or infinite.

    Tables go through polars, rows of Python values through numpy; the two give the same bits for the same
    values.
    """

    steps: tuple[FittedStep, ...]
    choices: tuple[FeatureChoice, ...]
    """What was decided about every column of the data version, with the reason."""

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """Columns that a request brings; it may leave out, or send null for, one that is nullable."""
        return tuple(step.column for step in self.steps)

    @cached_property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the data version that a request may carry and that are not used."""
        return tuple(choice.column for choice in self.choices if not choice.used)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """One name a feature, all distinct."""
        return _distinct([name for step in self.steps for name in step.feature_names])

    def transform_table(self, table: pa.Table) -> Float32Matrix:
        """Return the features of a table's rows; raises SchemaError for a column that does not fit.

        Numbers, integers and booleans stand in for each other; timestamps without a zone are UTC.
        """
        from raypipe.processing.table import encode_table

        return encode_table(self.steps, table)

    def transform_rows(self, rows: Sequence[Mapping[str, Value]]) -> Float32Matrix:
        """Return the features of a few rows; raises SchemaError for a value that is not of its column's kind.

        A key that a row lacks is a missing value; keys that are no inputs are ignored.
        """
        return self._encode_rows(rows)

    @cached_property
    def _encode_rows(self) -> RowEncoder:
        return RowEncoder(self.steps)

    def to_json(self) -> dict[str, Json]:
        """Write all there is to know; `feature_names`, `inputs` and `ignored` are for readers."""
        return {
            "format": FORMAT,
            "feature_names": list(self.feature_names),
            "inputs": [column.to_json() for column in self.inputs],
            "ignored": list(self.ignored),
            "steps": [step.to_json() for step in self.steps],
            "choices": [choice.to_json() for choice in self.choices],
        }

    @classmethod
    def from_json(cls, value: Json) -> FittedTransform:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {"format": int(found), "steps": [*steps], "choices": [*choices]} if found == FORMAT:
                return cls(
                    tuple(step_from_json(step) for step in steps),
                    tuple(FeatureChoice.from_json(choice) for choice in choices),
                )
            case _:
                raise ArtifactError(f"A transform must be JSON of format {FORMAT}. Got {value!r:.200}.")


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Number the names that occur again: a column may be called as another column's feature is."""
    taken: dict[str, None] = {}
    for name in names:
        free, n = name, 1
        while free in taken:
            n += 1
            free = f"{name}#{n}"
        taken[free] = None
    return tuple(taken)
