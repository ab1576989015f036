"""What leaves an endpoint: a status, a body, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Reply:
    """A status of HTTP and a body."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """Return the reply that refuses a request as a whole."""
    return Reply(status, msgspec.json.encode({"error": {"message": message}}), headers=headers)
