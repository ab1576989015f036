"""What a request may hold: JSON decoded and checked against the columns that the model was trained on.

A request is read twice, both times in C: once to cut it into rows, once to decode each row by a type
compiled from the columns. A row that does not decode is read again column by column, which finds all that is
wrong with it, or a rarer spelling of a right value (`3.0` for an integer). Of two equal keys the last one
counts.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from raypipe.core.errors import ServingError
from raypipe.data.schema import Column, ColumnKind, Value

Row: TypeAlias = "dict[str, Value]"
_T = TypeVar("_T")

MAX_ID_CHARACTERS = 200
_MAX_ERRORS = 20
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number of 64 bits, where JSON has numbers of any length."""
_TYPES: Mapping[ColumnKind, tuple[object, object]] = {
    "number": (float, float | None),
    "integer": (Int64, Int64 | None),
    "boolean": (bool, bool | None),
    "category": (str, str | None),
    "timestamp": (str, str | None),
}
_MUST_BE: Mapping[ColumnKind, str] = {
    "number": "a finite number",
    "integer": "a whole number of at most 64 bits",
    "boolean": "true or false",
    "category": "text",
    "timestamp": 'an ISO 8601 time such as "2026-01-31T12:00:00Z"',
}
_HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_FRACTION = re.compile(rb"[.eE]")
_NO_NUMBER = re.compile(rb"[:\[,]\s*[+-]?(NaN|nan|Infinity|Inf|inf)\b")


class RefusedRequest(ServingError):
    """The request as a whole cannot be answered."""

    status = 400


class TooLarge(RefusedRequest):
    """The request has more rows or bytes than one request may have."""

    status = 413


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one column of a row; no column where it is the row itself."""

    column: str | None
    message: str


@dataclass(frozen=True)
class RowError:
    """All that is wrong with one row."""

    fields: tuple[FieldError, ...]


@dataclass(frozen=True)
class ParsedRequest:
    """The rows of a request: decoded, or with their errors; and as they were received, as JSON."""

    rows: Sequence[Row | RowError]
    received: Sequence[msgspec.Raw]
    ids: Sequence[str] | None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[msgspec.Raw]
    ids: list[str] | None = None


_BODY = msgspec.json.Decoder(_Body)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class RequestSchema:
    """Decodes and checks requests for one model version; compiled once."""

    inputs: tuple[Column, ...]
    ignored: tuple[str, ...] = ()
    _fast: Callable[[msgspec.Raw], Row] = field(init=False, repr=False, compare=False)
    _readers: Mapping[str, _Reader] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fast", _row_decoder(self.inputs, self.ignored))
        object.__setattr__(self, "_readers", {column.name: _Reader(column) for column in self.inputs})

    def parse(self, body: bytes, max_rows: int) -> ParsedRequest:
        """Return the rows of a request; raises RefusedRequest where it cannot be cut into rows."""
        decoded = _decode_body(body)
        if len(decoded.rows) > max_rows:
            raise TooLarge(
                f"a request may have at most {max_rows:,} rows (serving.max_rows). "
                f"Got {len(decoded.rows):,}; send several requests."
            )
        if decoded.ids is not None:
            check_ids(decoded.ids, len(decoded.rows))
        hints = Hints()
        return ParsedRequest([self.row(raw, hints) for raw in decoded.rows], decoded.rows, decoded.ids)

    def row(self, raw: msgspec.Raw, hints: Hints) -> Row | RowError:
        """Return one decoded row, or all of its errors (the first 20, if there are more)."""
        try:
            return self._fast(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _BadTime):
            return self._row_by_columns(raw, hints)

    def _row_by_columns(self, raw: msgspec.Raw, hints: Hints) -> Row | RowError:
        try:
            values = _OBJECT.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            shown = _shown(_text(raw))
            return RowError((FieldError(None, f"a row must be an object of columns. Got {shown}."),))
        unknown = sorted(values.keys() - self._readers.keys() - {*self.ignored})
        errors = [self._unknown(name, hints) for name in unknown[:_MAX_ERRORS]]
        row: Row = {}
        for name, reader in self._readers.items():
            try:
                row[name] = reader.read(values.get(name))
            except _BadValue as error:
                errors.append(FieldError(name, str(error)))
        return RowError(tuple(errors[:_MAX_ERRORS])) if errors else row

    def _unknown(self, name: str, hints: Hints) -> FieldError:
        name = _shown(name)
        near = hints.nearest(name, [*self._readers, *self.ignored])
        hint = f"did you mean {near!r}?" if near else "leave it out, or see openapi.json for the columns."
        return FieldError(name, f"the model has no column {name!r}; {hint}")


class Hints:
    """Guesses what a misspelt name means, a bounded number of times, as a guess costs half a millisecond."""

    def __init__(self, n_left: int = 50) -> None:
        self._n_left = n_left
        self._known: dict[str, str | None] = {}

    def nearest(self, name: str, known: Sequence[str]) -> str | None:
        """Return the known name that `name` most likely means, if any is near and guesses are left."""
        if name not in self._known:
            if self._n_left == 0:
                return None
            self._n_left -= 1
            self._known[name] = next(iter(difflib.get_close_matches(name, known, n=1)), None)
        return self._known[name]


class _BadValue(ValueError):
    """A value does not fit its column; the text says how."""


class _BadTime(ValueError):
    """A text is no ISO 8601 time."""


class _Reader:
    """Reads the value of one column."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._decoder = msgspec.json.Decoder(_type(column))
        self._float = msgspec.json.Decoder(float)

    def read(self, raw: msgspec.Raw | None) -> Value:
        if raw is None:
            if self._column.nullable:
                return None
            raise _BadValue(f"{self._column.name} is missing; it must be {_MUST_BE[self._column.kind]}.")
        try:
            value: Value = self._decoder.decode(raw)
            return _time(value) if self._column.kind == "timestamp" and isinstance(value, str) else value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _BadTime):
            return self._rare(raw)

    def _rare(self, raw: msgspec.Raw) -> int:
        """Read a whole number that is spelled with a point or an exponent, or say what is wrong."""
        if self._column.kind == "integer" and _FRACTION.search(raw):
            try:
                number = self._float.decode(raw)
            except msgspec.DecodeError:
                number = 0.5
            if number.is_integer() and -(2.0**63) <= number < 2.0**63:
                return int(number)
        or_null = " or null" if self._column.nullable else ""
        raise _BadValue(
            f"{self._column.name} must be {_MUST_BE[self._column.kind]}{or_null}. Got {_shown(_text(raw))}."
        )


def _row_decoder(inputs: Sequence[Column], ignored: Sequence[str]) -> Callable[[msgspec.Raw], Row]:
    """Compile a decoder of whole rows; raises like msgspec for a row that is not exactly as declared."""
    names = [column.name for column in inputs]
    if any('"' in name or "\\" in name or min(name, default="a") < " " for name in [*names, *ignored]):
        return _never  # msgspec cannot compile such names: these rows go column by column.
    fields = [(f"f{i}", *_field(column)) for i, column in enumerate(inputs)]
    unused = [(f"u{i}", msgspec.Raw, None) for i in range(len(ignored))]
    rename = {f"f{i}": name for i, name in enumerate(names)} | {f"u{i}": n for i, n in enumerate(ignored)}
    struct = msgspec.defstruct(
        "Row", [*fields, *unused], kw_only=True, forbid_unknown_fields=True, rename=rename, gc=False
    )
    decode, astuple = msgspec.json.Decoder(struct).decode, msgspec.structs.astuple
    times = [column.name for column in inputs if column.kind == "timestamp"]

    def read(raw: msgspec.Raw) -> Row:
        return dict(zip(names, astuple(decode(raw)), strict=False))

    def read_with_times(raw: msgspec.Raw) -> Row:
        row = read(raw)
        for name in times:
            value = row[name]
            if isinstance(value, str):
                row[name] = _time(value)
        return row

    return read_with_times if times else read


def _never(_: msgspec.Raw) -> Row:
    raise msgspec.DecodeError("these columns are read one by one")


def _field(column: Column) -> tuple[object] | tuple[object, None]:
    return (_type(column), None) if column.nullable else (_type(column),)


def _type(column: Column) -> object:
    plain, nullable = _TYPES[column.kind]
    return nullable if column.nullable else plain


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadTime(text) from None


def _decode_body(body: bytes) -> _Body:
    form = '{"rows": [{"column": value, ...}, ...]}, with "ids": ["...", ...] if you like'
    decoded = decode_form(_BODY, body, form)
    if not decoded.rows:
        raise RefusedRequest("rows must have one row or more. Got none.")
    return decoded


def decode_form(decoder: msgspec.json.Decoder[_T], body: bytes, form: str) -> _T:
    """Decode a body of a given form; raises RefusedRequest, which says what is wrong with it."""
    try:
        if not body.isascii():
            body.decode()  # What is not read of a body, as a column that is not used, is UTF-8 too.
        return decoder.decode(body)
    except RecursionError:
        raise RefusedRequest(f"the body is nested too deeply; it must be {form}.") from None
    except msgspec.ValidationError as error:
        raise RefusedRequest(f"the body must be {form}. Got: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedRequest(f"the body is not JSON in UTF-8: {_explain_json(body, error)}.") from None


def _explain_json(body: bytes, error: Exception) -> str:
    """Say in a few words why `body` is not JSON."""
    if _NO_NUMBER.search(body):
        return "NaN and Infinity are no JSON numbers; send null for a missing value"
    if _HALF_SURROGATE.search(body):
        return "an escape such as \\ud800 is half of a character"
    return str(error).removeprefix("JSON is malformed: ").rstrip(".")


def check_ids(ids: Sequence[str], n_rows: int) -> None:
    """Raise RefusedRequest for ids that are not one for each row, all different, of a length that is kept."""
    if len(ids) != n_rows:
        raise RefusedRequest(f"ids must have one id for each row. Got {len(ids)} ids for {n_rows} rows.")
    for number, one in enumerate(ids):
        if not 0 < len(one) <= MAX_ID_CHARACTERS:
            raise RefusedRequest(
                f"an id must have 1 to {MAX_ID_CHARACTERS} characters. Got {len(one)} in ids[{number}]."
            )
    if len(set(ids)) < n_rows:
        [(twice, _)] = Counter(ids).most_common(1)
        raise RefusedRequest(f"ids must differ from each other. Got {twice!r} more than once.")


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")
