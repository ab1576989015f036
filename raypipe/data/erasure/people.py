"""Whose rows are meant: values of columns, kept and compared as keyed hashes, never as they are.

A value is found however it is spelled where it stands: as text, as an integer or a number, as a boolean, and
in captured rows as the hash that redaction put in its place.
"""

from __future__ import annotations

import hmac
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from raypipe.core.errors import ConfigError
from raypipe.data.live import ID_COLUMN

Mask: TypeAlias = NDArray[np.bool_]
PREDICTION = ID_COLUMN
"""In place of a column: the id of a captured prediction."""
_MAX_KEY_BYTES, _DIGEST_BYTES = blake2b.MAX_KEY_SIZE, 32
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_TRUTHS: Mapping[str, str] = {"true": "b:true", "false": "b:false"}


@dataclass(frozen=True)
class Key:
    """What names a person's rows: the value of a column, as a person writes it."""

    column: str
    value: str


@dataclass(frozen=True)
class People:
    """The keys of people as hashes by column; `secret` is what they are hashed with."""

    secret: bytes = field(repr=False)
    digests: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, keys: Iterable[Key], secret: bytes, capture_key: bytes = b"") -> People:
        """Return the people of these keys; `capture_key` is what redaction hashes values with, if it does."""
        found: dict[str, set[str]] = {}
        for key in keys:
            spellings = _spellings(key.value, capture_key)
            found.setdefault(key.column, set()).update(_digest(secret, key.column, one) for one in spellings)
        return cls(secret, {column: frozenset(digests) for column, digests in found.items()})

    def __or__(self, other: People) -> People:
        columns = self.digests.keys() | other.digests.keys()
        none: frozenset[str] = frozenset()
        both = {one: self.digests.get(one, none) | other.digests.get(one, none) for one in columns}
        return People(self.secret, both)

    def mask(self, rows: pa.Table) -> Mask:
        """Return which rows of a table are theirs; columns that it lacks match nothing."""
        found = np.zeros(rows.num_rows, dtype=np.bool_)
        for column in self.digests:
            if column in rows.column_names and rows.num_rows:
                found |= self.among(column, rows[column])
        return found

    def among(self, column: str, values: pa.ChunkedArray) -> Mask:
        """Return which values are theirs, if they stand in this column."""
        if pa.types.is_null(values.type):
            return np.zeros(len(values), dtype=np.bool_)
        series = pl.Series("values", values)
        theirs = [one for one in series.unique().to_list() if self._has(column, one)]
        return np.asarray(series.is_in(theirs).fill_null(False).to_numpy())

    def in_texts(self, texts: pa.ChunkedArray) -> Mask:
        """Return which rows, each a JSON object, are theirs; what cannot be read as one is nobody's."""
        columns = [column for column in self.digests if column != PREDICTION]
        if not columns:
            return np.zeros(len(texts), dtype=np.bool_)
        return np.array([self._in_text(columns, text) for text in texts.to_pylist()], dtype=np.bool_)

    def _in_text(self, columns: Sequence[str], text: str | None) -> bool:
        try:
            row = json.loads(text or "{}")
        except (ValueError, RecursionError):
            return False
        return isinstance(row, dict) and any(one in row and self._has(one, row[one]) for one in columns)

    def _has(self, column: str, value: object) -> bool:
        spelling = _spelling(value)
        return spelling is not None and _digest(self.secret, column, spelling) in self.digests[column]


def key_of(text: str) -> Key:
    """Read `COLUMN=VALUE`; raises ConfigError for anything else."""
    column, equals, value = text.partition("=")
    if not column.strip() or not equals or not value:
        # What stands there may name a person, so it is not said again.
        raise ConfigError("a key must be COLUMN=VALUE, both not empty. Got one without.")
    return Key(column.strip(), value)


def keys_in(text: str) -> tuple[Key, ...]:
    """Read keys, `COLUMN=VALUE` a line; empty lines are passed over. Raises ConfigError with the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(key_of(line))
            except ConfigError as error:
                raise ConfigError(f"line {number} of the keys: {error}") from None
    return tuple(found)


def _spellings(value: str, capture_key: bytes) -> Iterator[str]:
    yield f"t:{value}"
    yield from (_TRUTHS[value],) if value in _TRUTHS else ()
    number = _number(value)
    plain = {value} if number is None else {value, json.dumps(number)}
    if number is not None:
        yield f"n:{number!r}"
    if capture_key:
        for one in plain:
            yield f"h:{hmac.digest(capture_key, one.encode('utf-8', 'surrogatepass'), 'sha256').hex()}"


def _number(value: str) -> int | float | None:
    if _INTEGER.fullmatch(value):
        return int(value)
    try:
        number = float(value)
    except ValueError:
        return None
    return _whole(number) if math.isfinite(number) and "_" not in value else None


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _spelling(value: object) -> str | None:
    """Return how a value is spelled where it is hashed; None for what no key can be."""
    match value:
        case bool():
            return f"b:{str(value).lower()}"
        case str():
            return f"t:{value}"
        case int():
            return f"n:{value}"
        case float() if math.isfinite(value):
            return f"n:{_whole(value)!r}"
        case {"hash": str(digest)}:
            return f"h:{digest}"
        case _:
            return None


def _digest(secret: bytes, column: str, spelling: str) -> str:
    # A third of the time of HMAC, of which a search of a column of names takes one for each of them.
    text = f"{column}\0{spelling}".encode("utf-8", "surrogatepass")
    return blake2b(text, key=secret[:_MAX_KEY_BYTES], digest_size=_DIGEST_BYTES).hexdigest()
