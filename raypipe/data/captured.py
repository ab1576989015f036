"""What is captured of serving: predictions with their inputs, and labels that come for them later."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from raypipe.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Answer: TypeAlias = bool | int | float | str
"""A class or a number, as the endpoint answers it and as a label says it."""


class PredictionRecord(msgspec.Struct, frozen=True, tag="p", array_like=True, gc=False):
    """One answered row: `inputs` is its JSON as received, less what is redacted, `at` is aware and in UTC.

    `probabilities` follow the order of the task's classes; they are absent for a regression.
    """

    id: str
    at: datetime
    version: str
    role: str
    inputs: str
    prediction: Answer
    probabilities: tuple[float, ...] | None = None


class LabelRecord(msgspec.Struct, frozen=True, tag="l", array_like=True, gc=False):
    """What turned out to be true for a prediction; `at` is aware and in UTC."""

    prediction_id: str
    label: Answer
    at: datetime


Record: TypeAlias = PredictionRecord | LabelRecord

_WRITER = json.JSONEncoder(ensure_ascii=False)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(PredictionRecord | LabelRecord)


def encode(record: Record) -> bytes:
    """Return a record as bytes for the write-ahead log."""
    return _ENCODER.encode(record)


def decode(payload: bytes) -> Record:
    """Read what `encode` wrote; raises DataError for anything else."""
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise DataError(f"a captured record cannot be read: {error}.") from error


def prediction_schema() -> pa.Schema:
    """Return the columns of the table `predictions`; `prediction` is JSON, so that 1, "1" and true differ."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("version", pa.string()),
            ("role", pa.string()),
            ("inputs", pa.string()),
            ("prediction", pa.string()),
            ("probabilities", pa.list_(pa.float64())),
        ]
    )


def label_schema() -> pa.Schema:
    """Return the columns of the table `labels`; `label` is JSON, as `prediction` is in the other table."""
    import pyarrow as pa

    return pa.schema(
        [("prediction_id", pa.string()), ("label", pa.string()), ("at", pa.timestamp("us", tz="UTC"))]
    )


def prediction_table(records: Sequence[PredictionRecord]) -> pa.Table:
    """Return records as rows of `prediction_schema`."""
    return _table(records, prediction_schema(), "prediction")


def label_table(records: Sequence[LabelRecord]) -> pa.Table:
    """Return records as rows of `label_schema`."""
    return _table(records, label_schema(), "label")


def answer_of(text: str) -> Answer:
    """Return the answer that a `prediction` or `label` column holds as JSON."""
    value: Answer = json.loads(text)
    return value


def _text(answer: Answer) -> str:
    if type(answer) is int or (type(answer) is float and math.isfinite(answer)):
        return repr(answer)  # As the writer does, which takes ten times as long.
    return _WRITER.encode(answer)


def _table(records: Sequence[Record], schema: pa.Schema, answer: str) -> pa.Table:
    """Return records, whose fields are the columns of a schema; the one of the answer becomes JSON."""
    import pyarrow as pa

    columns = list(zip(*map(msgspec.structs.astuple, records), strict=True)) or [()] * len(schema)
    arrays = [
        pa.array([*map(_text, cells)] if field.name == answer else cells, field.type)
        for cells, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)
