"""All kinds of steps, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

import msgspec

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.processing.steps.category import FittedCategory, FittedOrdinal
from raypipe.processing.steps.cross import CategoryStep, FittedCross
from raypipe.processing.steps.custom import FittedFunction, FittedTransformer
from raypipe.processing.steps.date import FittedDate
from raypipe.processing.steps.hashed import FittedHash, FittedText
from raypipe.processing.steps.number import FittedBins, FittedNumber
from raypipe.processing.steps.target import FittedTarget

ColumnStep: TypeAlias = FittedNumber | FittedBins | FittedDate | CategoryStep
"""A step of one column."""
CustomStep: TypeAlias = FittedFunction | FittedTransformer
"""A step that runs code of the user's."""
FittedStep: TypeAlias = ColumnStep | FittedCross | CustomStep

_TAGS: Mapping[str, type[ColumnStep | CustomStep]] = {
    "number": FittedNumber,
    "bins": FittedBins,
    "category": FittedCategory,
    "ordinal": FittedOrdinal,
    "hash": FittedHash,
    "text": FittedText,
    "target": FittedTarget,
    "date": FittedDate,
    "function": FittedFunction,
    "transformer": FittedTransformer,
}
_CROSSED = frozenset({"category", "ordinal", "hash", "text", "target"})


def step_to_json(step: FittedStep) -> dict[str, Json]:
    """Write a step: its kind, and each of its fields."""
    if isinstance(step, FittedCross):
        columns = [column.to_json() for column in step.columns]
        return {"step": "cross", "columns": columns, "of": step_to_json(step.step)}
    tag = next(tag for tag, kind in _TAGS.items() if isinstance(step, kind))
    return {"step": tag, **msgspec.to_builtins(step)}


def step_from_json(value: Json) -> FittedStep:
    """Read what `step_to_json` wrote; raises ArtifactError for anything else."""
    match value:
        case {"step": "cross", "columns": [*columns], "of": {"step": str(tag), **fields}} if tag in _CROSSED:
            inner = cast(CategoryStep, _column_step(fields, tag))
            return FittedCross(tuple(Column.from_json(column) for column in columns), inner)
        case {"step": str(tag), **fields} if tag in _TAGS:
            return _column_step(fields, tag)
        case _:
            raise ArtifactError(
                f"A step must be one of {', '.join((*_TAGS, 'cross'))}, with its fields. Got {value!r:.200}."
            )


def _column_step(fields: Mapping[object, object], tag: str) -> ColumnStep | CustomStep:
    try:
        return msgspec.convert(fields, _TAGS[tag])
    except msgspec.ValidationError as error:
        raise ArtifactError(f"A {tag} step cannot be read: {error}. Got {fields!r:.200}.") from error
