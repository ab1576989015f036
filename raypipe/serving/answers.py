"""The answer to each row of a request, as it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TypeAlias

import msgspec

from raypipe.core.ids import Json
from raypipe.serving.predictor import Answer, Predictions, Predictor
from raypipe.serving.request import FieldError, ParsedRequest, RequestSchema, RowError
from raypipe.training.task import ClassValue

Given: TypeAlias = "tuple[Answer, tuple[float, ...] | None, bool, str | None, str | None]"
"""An answer, its probabilities, whether it is finite; the version that gave it and the row's role, where they
are not the champion's."""
NOT_FINITE = RowError((FieldError(None, "the model's answer for this row is not a finite number."),))


class AnsweredRow(msgspec.Struct, frozen=True, gc=False):
    """One answered row: as it was received, and as it was answered."""

    id: str
    received: msgspec.Raw
    prediction: Answer
    probabilities: tuple[float, ...] | None
    version: str | None = None
    """What answered, where that is not the champion."""
    role: str | None = None
    """The row's part in a canary, as `raypipe.data.roles` writes it; None for one that had none."""


@dataclass(frozen=True)
class Answers:
    """One item a row, in the order of the request, and what there is to keep of the answered ones."""

    items: Sequence[dict[str, Json]]
    answered: Sequence[AnsweredRow]


def iterate(predictions: Predictions) -> Iterator[Given]:
    """Yield what is answered to each row in turn: the value, the probabilities, whether they are finite."""
    found = (predictions.values, _probabilities(predictions), predictions.finite)
    return zip(*found, repeat(None), repeat(None), strict=False)


def answer(
    request: ParsedRequest, given: Iterator[Given], ids: Sequence[str], class_names: Sequence[str]
) -> Answers:
    """Join what is answered to the valid rows, taken from `given`, with the errors of the others."""
    items: list[dict[str, Json]] = []
    answered: list[AnsweredRow] = []
    for row, received, id_ in zip(request.rows, request.received, ids, strict=True):
        if isinstance(row, RowError):
            items.append({"id": id_, "error": _error(row)})
            continue
        value, probabilities, finite, version, role = next(given)
        if not finite:
            items.append({"id": id_, "error": _error(NOT_FINITE)})
            continue
        item = _item(id_, value, probabilities, class_names)
        items.append(item if version is None else {**item, "version": version})
        answered.append(AnsweredRow(id_, received, value, probabilities, version, role))
    return Answers(items, answered)


def answer_body(
    schema: RequestSchema, predictor: Predictor, class_names: Sequence[str], body: bytes, max_rows: int
) -> Sequence[dict[str, Json]]:
    """Return one item a row of a request, numbered from 0; raises RefusedRequest."""
    request = schema.parse(body, max_rows)
    valid = [row for row in request.rows if not isinstance(row, RowError)]
    predictions = predictor.predict_rows(valid) if valid else Predictions([], None, [])
    ids = [str(number) for number in range(len(request.rows))]
    return answer(request, iterate(predictions), ids, class_names).items


def class_name(value: ClassValue) -> str:
    """Return how a class is spelled as a key of JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _item(
    id_: str, value: Answer, probabilities: tuple[float, ...] | None, class_names: Sequence[str]
) -> dict[str, Json]:
    if probabilities is None:
        return {"id": id_, "prediction": value}
    named = dict(zip(class_names, probabilities, strict=True))
    return {"id": id_, "prediction": value, "probabilities": named}


def _probabilities(predictions: Predictions) -> Sequence[tuple[float, ...] | None]:
    if predictions.probabilities is None:
        return [None] * len(predictions.values)
    return list(map(tuple, predictions.probabilities.tolist()))


def _error(row: RowError) -> Json:
    fields: list[Json] = [{"column": one.column, "message": one.message} for one in row.fields]
    return {"column": row.fields[0].column, "message": row.fields[0].message, "fields": fields}
