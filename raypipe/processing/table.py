"""Fitted steps over an Arrow table, column by column: training and batch prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from raypipe.data.schema import Column
from raypipe.processing.calendar import Position
from raypipe.processing.codes import Coder, Codes
from raypipe.processing.columns import crossed_texts, floats_of, kind_in, texts_of
from raypipe.processing.frames import frame_of
from raypipe.processing.lines import Lines
from raypipe.processing.moments import Moments
from raypipe.processing.steps.category import FittedCategory, FittedOrdinal
from raypipe.processing.steps.cross import CategoryStep, FittedCross
from raypipe.processing.steps.custom import FittedFunction, FittedTransformer
from raypipe.processing.steps.date import FittedDate
from raypipe.processing.steps.hashed import FittedHash, FittedText
from raypipe.processing.steps.lookup import Float32Matrix
from raypipe.processing.steps.number import FittedBins, FittedNumber
from raypipe.processing.steps.step import FittedStep
from raypipe.processing.steps.target import FittedTarget
from raypipe.processing.texts import HashedTexts

_CHUNK_ROWS = 65_536
"""Rows that are read at a time: what is made of them stays small."""
_BLOCK_VALUES = 262_144
"""Features that are made at a time, column by column: they stay in the processor's cache until copied."""
_BLOCK_ROWS = 8192
_COLUMN_ROWS = 16_384
"""Values of a column that are made at a time."""

Writer: TypeAlias = Callable[[slice, Float32Matrix], None]
"""Writes a step's features of some rows of a chunk, into columns that lie together."""
Reader: TypeAlias = Callable[[pa.Table], Writer]
"""Reads what a step needs of a chunk."""


def encode_table(
    steps: Sequence[FittedStep], table: pa.Table, order: Literal["C", "F"] = "C"
) -> Float32Matrix:
    """Return the features of all rows; rows lie together in memory (C), or columns do (F).

    Raises SchemaError for a column that is absent or of another kind.
    """
    for step in steps:
        for column in step.inputs:
            kind_in(table.schema, column)
    ends = np.cumsum([0, *(len(step.feature_names) for step in steps)]).tolist()
    places = [slice(start, end) for start, end in pairwise(ends)]
    readers = [_reader(step) for step in steps]
    out = np.empty((table.num_rows, ends[-1]), np.float32, order)
    block_rows = max(min(_BLOCK_ROWS, _BLOCK_VALUES // max(ends[-1], 1)), 1)
    scratch = np.empty((block_rows, ends[-1]), np.float32, "F")
    for start in range(0, table.num_rows, _CHUNK_ROWS):
        chunk = table.slice(start, _CHUNK_ROWS)
        writers = [reader(chunk) for reader in readers]
        made = out[start : start + chunk.num_rows]
        if order == "C":
            _write(writers, places, scratch, made)
        else:
            _write_columns(writers, places, made)
    return out


def _write(
    writers: Sequence[Writer], places: Sequence[slice], scratch: Float32Matrix, out: Float32Matrix
) -> None:
    for start in range(0, len(out), len(scratch)):
        block = slice(start, min(start + len(scratch), len(out)))
        made = scratch[: block.stop - start]
        for write, place in zip(writers, places, strict=True):
            write(block, made[:, place])
        out[block] = made


def _write_columns(writers: Sequence[Writer], places: Sequence[slice], out: Float32Matrix) -> None:
    """Write features into columns that lie together, so that none is copied."""
    for write, place in zip(writers, places, strict=True):
        for start in range(0, len(out), _COLUMN_ROWS):
            block = slice(start, min(start + _COLUMN_ROWS, len(out)))
            write(block, out[block, place])


def _reader(step: FittedStep) -> Reader:
    match step:
        case FittedNumber():
            return lambda chunk: _number(step, floats_of(chunk, step.column))
        case FittedBins():
            lines = Lines(step.table)
            return lambda chunk: _lookup(lines, step.codes(floats_of(chunk, step.column)))
        case FittedDate():
            return _date(step)
        case FittedCategory() | FittedOrdinal() | FittedTarget():
            lines, coder = Lines(step.table), Coder(step)
            return lambda chunk: _lookup(lines, coder(chunk))
        case FittedHash() | FittedText():
            return lambda chunk: HashedTexts(step, texts_of(chunk, step.column)).write
        case FittedCross():
            return _crossed(step, step.step)
        case FittedFunction():
            return lambda chunk: _made(step.features(frame_of(chunk, step.columns)))
        case FittedTransformer():
            return lambda chunk: _made(step.features(_side_by_side(chunk, step.inputs)))
        case _:
            assert_never(step)


def target_codes(step: FittedStep, table: pa.Table) -> Codes:
    """Return the lines of a target encoding's table that are the features of the rows."""
    if isinstance(step, FittedTarget):
        return Coder(step)(table)
    assert isinstance(step, FittedCross) and isinstance(step.step, FittedTarget)
    return Coder(step.step).of_texts(crossed_texts(table, step.columns))


def _crossed(cross: FittedCross, step: CategoryStep) -> Reader:
    def texts(chunk: pa.Table) -> pl.Series:
        return crossed_texts(chunk, cross.columns)

    if isinstance(step, FittedHash | FittedText):
        return lambda chunk: HashedTexts(step, texts(chunk)).write
    lines, coder = Lines(step.table), Coder(step)
    return lambda chunk: _lookup(lines, coder.of_texts(texts(chunk)))


def _number(step: FittedNumber, values: npt.NDArray[np.float64]) -> Writer:
    def write(block: slice, out: Float32Matrix) -> None:
        out[:, 0] = step.arithmetic(values[block])
        if step.indicator:
            out[:, 1] = np.isnan(values[block])

    return write


def _made(features: Float32Matrix) -> Writer:
    def write(block: slice, out: Float32Matrix) -> None:
        out[:] = features[block]

    return write


def _side_by_side(chunk: pa.Table, columns: Sequence[Column]) -> npt.NDArray[np.float64]:
    return np.column_stack([floats_of(chunk, column) for column in columns])


def _lookup(lines: Lines, codes: Codes | npt.NDArray[np.intp]) -> Writer:
    return lambda block, out: lines.write(codes[block], out)


def _date(step: FittedDate) -> Reader:
    ends = np.cumsum([0, *(table.shape[1] for _, table in step.tables)]).tolist()
    lookups = [
        (position, slice(*place), Lines(table))
        for (position, table), place in zip(step.tables, pairwise(ends), strict=True)
    ]
    return lambda chunk: _moments(step, lookups, Moments.of(chunk, step.column))


def _moments(step: FittedDate, lookups: list[tuple[Position, slice, Lines]], moments: Moments) -> Writer:
    found = [(moments.positions(position), place, lines) for position, place, lines in lookups]
    at = sum(table.shape[1] for _, table in step.tables)
    years = moments.years() if step.years is not None else None
    centre, reciprocal = step.year_scale

    def write(block: slice, out: Float32Matrix) -> None:
        for codes, place, lines in found:
            lines.write(codes[block], out[:, place])
        if years is not None:
            scaled = (years[block] - centre) * reciprocal
            out[:, at] = np.where(moments.missing[block], 0.0, scaled)
        if step.missing:
            out[:, -1] = moments.missing[block]

    return write
