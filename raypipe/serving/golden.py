"""Golden rows: a few rows with the answers given at registration, replayed wherever a version is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from raypipe.core.errors import ArtifactError
from raypipe.core.files import LOCAL_DISK, Disk, write_json
from raypipe.core.ids import Json
from raypipe.data.schema import Column, Value
from raypipe.serving.request import Hints, RequestSchema, Row, RowError
from raypipe.serving.tables import table_of

if TYPE_CHECKING:
    import msgspec
    import pyarrow as pa

    from raypipe.serving.predictor import Predictions, Predictor

Timer: TypeAlias = Callable[[], float]
"""Seconds of a clock that only runs forward."""
GOLDEN_NAME = "golden.json"
N_GOLDEN_ROWS = 16
N_TIMED = 5
TOLERANCE = 1e-6
"""Relative and absolute; another machine's arithmetic may differ by as much."""


def golden_rows(table: pa.Table, inputs: Sequence[Column], n_rows: int = N_GOLDEN_ROWS) -> list[Row]:
    """Return at most `n_rows` rows, spread evenly over a table, as requests bring them.

    Rows that lack what a request must bring are passed over.
    """
    step = max(1, table.num_rows // (4 * n_rows))
    spread = table.select([column.name for column in inputs]).take(list(range(0, table.num_rows, step)))
    rows = [_as_brought(row) for row in spread.to_pylist()]
    required = [column.name for column in inputs if not column.nullable]
    complete = [row for row in rows if all(row[name] is not None for name in required)]
    return complete[:: max(1, len(complete) // n_rows)][:n_rows]


def write_golden(
    predictor: Predictor, rows: Sequence[Mapping[str, Value]], folder: Path, disk: Disk = LOCAL_DISK
) -> None:
    """Write rows with the answers of `predictor` into a folder about to be registered.

    Raises ArtifactError where there is no row, an answer is not finite, or no request could bring such a row.
    """
    if not rows:
        raise ArtifactError("a version needs at least one golden row; no row has all columns that it must.")
    sent = [_as_json(row) for row in rows]
    predictions = predictor.predict_rows(_received(predictor, sent, "the golden rows"))
    _check_finite(predictions, "the golden rows")
    answers: Json = (
        list(predictions.values) if predictions.probabilities is None else predictions.probabilities.tolist()
    )
    write_json(folder / GOLDEN_NAME, {"rows": sent, "answers": answers}, disk)


def replay(predictor: Predictor, folder: Path) -> None:
    """Answer the golden rows of a folder again, row by row and as a table.

    Raises ArtifactError where an answer differs from the one at registration.
    """
    path = folder / GOLDEN_NAME
    golden = read_golden(folder)
    rows = _received(predictor, golden.rows, str(path))
    _compare(predictor.predict_rows(rows), golden.answers, path)
    _compare(predictor.predict_table(table_of(rows, predictor.transform.inputs)), golden.answers, path)


def fastest_s(predictor: Predictor, folder: Path, timer: Timer) -> float:
    """Return the seconds of the fastest answer to the first golden row, which others at work delay least."""
    rows = _received(predictor, read_golden(folder).rows[:1], str(folder / GOLDEN_NAME))
    took_s = []
    for _ in range(N_TIMED):
        began = timer()
        predictor.predict_rows(rows)
        took_s.append(timer() - began)
    return min(took_s)


def _compare(predictions: Predictions, answers: Sequence[Json], path: Path) -> None:
    _check_finite(predictions, str(path))
    given = predictions.values if predictions.probabilities is None else predictions.probabilities.tolist()
    for number, (answer, expected) in enumerate(zip(given, answers, strict=True)):
        if not _close(answer, expected):
            raise ArtifactError(
                f"row {number} of {path} must be answered with {expected}, as at registration. Got {answer}: "
                "the libraries here compute otherwise than the manifest's; install those, or train again."
            )


@dataclass(frozen=True)
class Golden:
    """Rows as JSON requests bring them, and the values (regression) or probabilities that answered them."""

    rows: Sequence[Json]
    answers: Sequence[Json]


def read_golden(folder: Path) -> Golden:
    """Read the golden rows of a version's folder; raises ArtifactError for a file that holds none."""
    path = folder / GOLDEN_NAME
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); restore the folder.") from error
    match value:
        case {"rows": [*rows], "answers": [*answers]} if rows and len(rows) == len(answers):
            return Golden(rows, answers)
        case _:
            raise ArtifactError(f"{path} must hold rows, and an answer for each of them.")


def _received(predictor: Predictor, sent: Sequence[Json], where: str) -> list[Mapping[str, Value]]:
    """Return rows as the endpoint reads them, so that golden rows go the whole way of a request."""
    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    rows: list[Mapping[str, Value]] = []
    for number, one in enumerate(sent):
        row = schema.row(_raw(one), Hints())
        if isinstance(row, RowError):
            raise ArtifactError(f"row {number} of {where} is no valid request: {row.fields[0].message}")
        rows.append(row)
    return rows


def _raw(value: Json) -> msgspec.Raw:
    import msgspec

    return msgspec.Raw(json.dumps(value).encode())


def _check_finite(predictions: Predictions, where: str) -> None:
    for number, finite in enumerate(predictions.finite):
        if not finite:
            raise ArtifactError(
                f"row {number} of {where} must be answered with a finite number. Got "
                f"{predictions.values[number] if predictions.probabilities is None else 'NaN or infinity'}: "
                "the model is broken; train again."
            )


def _close(answer: object, expected: object) -> bool:
    match answer, expected:
        case [*left], [*right]:
            return len(left) == len(right) and all(map(_close, left, right))
        case float() | int(), float() | int():
            return answer == expected or math.isclose(answer, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        case _:
            return False


def as_sent(row: Mapping[str, object]) -> dict[str, Json]:
    """Return a row of a table as golden rows are kept."""
    return _as_json(_as_brought(row))


def _as_brought(row: Mapping[str, object]) -> Row:
    return {name: _plain(value) for name, value in row.items()}


def _as_json(row: Mapping[str, Value]) -> dict[str, Json]:
    return {name: _sent(value) for name, value in row.items()}


def _plain(value: object) -> Value:
    """Return a cell of a table as a request brings it; NaN and infinity are missing."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str() | datetime():
            return value
        case Decimal():
            return float(value)
        case date():
            return datetime.combine(value, time())
        case _:
            raise ArtifactError(f"a golden row cannot hold {value!r} of the type {type(value).__name__}.")


def _sent(value: Value) -> Json:
    return value.isoformat() if isinstance(value, datetime) else value
