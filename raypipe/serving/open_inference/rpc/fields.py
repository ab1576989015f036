"""How many messages a message holds, counted before it is decoded.

An empty message takes two bytes when it is sent and a hundred when it is decoded, so that a body which may be
sent could hold a gigabyte of them.
"""

from __future__ import annotations

from raypipe.core.wire import fields
from raypipe.serving.request import RefusedRequest, TooLarge

MAX_FIELDS = 10_000
SMALL_BYTES = 64 * 1024
"""A body of so few bytes is not counted: it cannot hold enough."""


def check_n_fields(body: bytes) -> None:
    """Raise RefusedRequest for a large body with more fields than a request of any model has."""
    if len(body) <= SMALL_BYTES:
        return
    try:
        for number, _ in enumerate(fields(memoryview(body))):
            if number >= MAX_FIELDS:
                raise TooLarge(
                    f"a message may have at most {MAX_FIELDS:,} tensors, outputs and parameters. Got more."
                )
    except ValueError:
        raise RefusedRequest("the message must be a ModelInferRequest; these bytes are none.") from None
