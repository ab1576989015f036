"""Rows and labels cut into requests that the endpoint takes, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from raypipe.api.client.cells import cell
from raypipe.core.errors import ConfigError, DataError

MAX_ID_CHARACTERS = 200
_FRAME_BYTES = len(b'{"labels":[],"ids":[]}')
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Limits:
    """What one request may hold."""

    max_rows: int
    max_body_bytes: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 1:
                raise ConfigError(f"{name} must be >= 1. Got {value!r}.")


@dataclass(frozen=True)
class Part:
    """One request: items as JSON, the first of them number `first` of all, and the rows' ids."""

    key: Literal["rows", "labels"]
    first: int
    items: Sequence[bytes]
    ids: Sequence[str] = ()

    @property
    def body(self) -> bytes:
        """The request as it is sent."""
        ids = b',"ids":%b' % _encode(list(self.ids)) if self.ids else b""
        return b'{"%b":[%b]%b}' % (self.key.encode(), b",".join(self.items), ids)

    def halves(self) -> Sequence[Part]:
        """Return the same items in two requests; in one where there is but one."""
        half = len(self.items) // 2
        if half == 0:
            return (self,)
        return (
            replace(self, items=self.items[:half], ids=self.ids[:half]),
            replace(self, first=self.first + half, items=self.items[half:], ids=self.ids[half:]),
        )


def row_parts(slices: Iterable[Sequence[object]], ids: Iterable[str], limits: Limits) -> Iterator[Part]:
    """Yield rows in requests within the limits; a row that is larger than them goes alone.

    Raises DataError for a value that has no place in JSON.
    """
    names = iter(ids)
    for first, items in _grouped(((item, next(names)) for item in _encoded(slices)), limits):
        yield Part("rows", first, [item for item, _ in items], [id_ for _, id_ in items])


def label_parts(slices: Iterable[Sequence[object]], limits: Limits) -> Iterator[Part]:
    """Yield labels in requests within the limits; raises DataError for a value without a place in JSON."""
    for first, items in _grouped(((item, "") for item in _encoded(slices)), limits):
        yield Part("labels", first, [item for item, _ in items])


def checked_ids(ids: Iterable[object], n_rows: int) -> list[str]:
    """Return ids, one for each row; raises ConfigError for others."""
    listed: list[object] = ids.to_pylist() if hasattr(ids, "to_pylist") else list(ids)
    if len(listed) != n_rows:
        raise ConfigError(f"ids must have one id for each row. Got {len(listed)} ids for {n_rows} rows.")
    texts = [one for one in listed if isinstance(one, str) and 0 < len(one) <= MAX_ID_CHARACTERS]
    if len(texts) < n_rows:
        wrong = next(one for one in listed if not isinstance(one, str) or one not in set(texts))
        raise ConfigError(f"ids must be texts of 1 to {MAX_ID_CHARACTERS} characters. Got {wrong!r:.60}.")
    if len(set(texts)) < n_rows:
        raise ConfigError("ids must differ from each other, also over several requests.")
    return texts


def _encoded(slices: Iterable[Sequence[object]]) -> Iterator[bytes]:
    number = 0
    for items in slices:
        for item in items:
            try:
                yield _encode(_cells(item))
            except (DataError, UnicodeEncodeError) as error:
                raise DataError(f"item {number:,} cannot be sent: {error}") from error
            number += 1


def _cells(item: object) -> object:
    if not isinstance(item, Mapping):
        return cell(item)
    return {str(name): _named(name, value) for name, value in item.items()}


def _named(name: object, value: object) -> object:
    try:
        return cell(value)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _grouped(
    items: Iterable[tuple[bytes, str]], limits: Limits
) -> Iterator[tuple[int, list[tuple[bytes, str]]]]:
    first, group, n_bytes = 0, list[tuple[bytes, str]](), _FRAME_BYTES
    for item in items:
        more = len(item[0]) + len(_encode(item[1])) + 2
        if group and (len(group) == limits.max_rows or n_bytes + more > limits.max_body_bytes):
            yield first, group
            first, group, n_bytes = first + len(group), [], _FRAME_BYTES
        group.append(item)
        n_bytes += more
    if group:
        yield first, group
