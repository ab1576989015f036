"""The fitted transform: one object that makes features for training, batch prediction and the endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json
from raypipe.data.schema import Column, Value
from raypipe.processing.report import FeatureChoice, TrainingRows
from raypipe.processing.rows import RowEncoder
from raypipe.processing.steps import (
    FittedFunction,
    FittedStep,
    FittedTransformer,
    Float32Matrix,
    step_from_json,
    step_to_json,
)

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2

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
    trained_on: TrainingRows = field(default_factory=TrainingRows)

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """Columns that a request brings; it may leave out, or send null for, one that is nullable."""
        return tuple({column.name: column for step in self.steps for column in step.inputs}.values())

    @cached_property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the data version that a request may carry and that are not used."""
        used = {column.name for column in self.inputs}
        names = (choice.column for choice in self.choices if not choice.used and "columns" not in choice.rule)
        return tuple(name for name in names if name not in used)

    @property
    def executes(self) -> tuple[str, ...]:
        """The import paths of code that runs whenever features are made; none but for `processing.custom`."""
        return tuple(step.path for step in self.steps if isinstance(step, FittedFunction | FittedTransformer))

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """One name a feature, all distinct."""
        return _distinct([name for step in self.steps for name in step.feature_names])

    def transform_table(self, table: pa.Table, order: Literal["C", "F"] = "C") -> Float32Matrix:
        """Return the features of a table's rows; raises SchemaError for a column that does not fit.

        Rows lie together in memory (C), or columns do (F). Numbers, integers and booleans stand in for each
        other; timestamps without a zone are UTC.
        """
        from raypipe.processing.table import encode_table

        return encode_table(self.steps, table, order)

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
            "steps": [step_to_json(step) for step in self.steps],
            "choices": [choice.to_json() for choice in self.choices],
            "trained_on": self.trained_on.to_json(),
        }

    @classmethod
    def from_json(cls, value: Json) -> FittedTransform:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {
                "format": int(found),
                "steps": [*steps],
                "choices": [*choices],
                "trained_on": {"n_rows": int(n_rows), "n_duplicates": int(n_duplicates)},
            } if found == FORMAT:
                return cls(
                    tuple(step_from_json(step) for step in steps),
                    tuple(FeatureChoice.from_json(choice) for choice in choices),
                    TrainingRows(n_rows, n_duplicates),
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
