"""How many messages a message holds, counted before it is decoded.

An empty message takes two bytes when it is sent and a hundred when it is decoded, so that a body which may be
sent could hold a gigabyte of them.
"""

from __future__ import annotations

from raypipe.serving.request import RefusedRequest, TooLarge

MAX_MESSAGES = 10_000
SMALL_BYTES = 64 * 1024
"""A body of so few bytes is not counted: it cannot hold enough."""
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def check_n_messages(body: bytes) -> None:
    """Raise RefusedRequest for a large body with more fields than a request of any model has."""
    if len(body) <= SMALL_BYTES:
        return
    at = n_fields = 0
    while at < len(body):
        n_fields += 1
        if n_fields > MAX_MESSAGES:
            raise TooLarge(
                f"a message may have at most {MAX_MESSAGES:,} tensors, outputs and parameters. Got more."
            )
        at = _after_field(body, at)


def _after_field(body: bytes, at: int) -> int:
    tag, at = _varint(body, at)
    kind = tag & 7
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind not in (_VARINT, _BYTES):
        raise RefusedRequest("the message must be a ModelInferRequest; these bytes are none.")
    value, at = _varint(body, at)
    return at + value if kind == _BYTES else at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, of seven bits a byte, the lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            break
        byte = body[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise RefusedRequest("the message must be a ModelInferRequest; these bytes are none.")
