"""The fields of a message of protobuf, read without its definition."""

from __future__ import annotations

from collections.abc import Iterator

NUMBER, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number of each field with its value: a number, or bytes that may be a message themselves.

    Raises ValueError for bytes that are no message.

    >>> [(number, bytes(value)) for number, value in fields(memoryview(b"\\x0a\\x02hi"))]
    [(1, b'hi')]
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | memoryview
        if kind == NUMBER:
            value, at = _varint(data, at)
        else:
            length, at = (_FIXED[kind], at) if kind in _FIXED else _varint(data, at)
            if kind not in (BYTES, *_FIXED) or at + length > len(data):
                raise ValueError(f"byte {at:,} is within no field")
            value, at = data[at : at + length], at + length
        yield tag >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a place, of seven bits a byte, the lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError(f"byte {at:,} ends no number")
