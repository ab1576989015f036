"""Reading the bodies of requests: no more, and for no longer, than a replica may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeAlias

from raypipe.serving.reply import Reply

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
RETRY_AFTER_S = 1
DRAIN_S = 1.0
MAX_HELD_BODIES = 8
"""Bodies of the largest size that a replica holds at once, in part or whole, before it refuses more."""


class Disconnected(Exception):
    """The client left before its request was complete."""


class Refuse(Protocol):
    """Whatever refuses a request as a whole with one sentence."""

    def __call__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = (), /
    ) -> Reply: ...


class Held:
    """Bytes of a request that a replica holds."""

    def __init__(self) -> None:
        self.n_bytes = 0


class Bodies:
    """All bodies that a replica holds, each at most `max_bytes` long and read within `timeout_s` seconds."""

    def __init__(self, max_bytes: int, timeout_s: float, refuse: Refuse) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._refuse = refuse
        self._n_bytes = 0

    @contextmanager
    def holding(self, n_bytes: int) -> Iterator[Reply | None]:
        """Hold a body for as long as it takes to answer it, or give the refusal of one too many."""
        self._n_bytes += n_bytes
        try:
            yield self._too_many()
        finally:
            self._n_bytes -= n_bytes

    def let_go(self, held: Held) -> None:
        """Hold what was read of a request no longer."""
        self._n_bytes -= held.n_bytes

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, held: Held) -> bytes | Reply:
        """Return the body, or its refusal; raises Disconnected. What is read is in `held` until `let_go`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(headers, receive, held)
        except TimeoutError:
            return self._refuse(
                408,
                f"a body must come within {self._timeout_s:g} seconds (serving.body_timeout_s).",
                ((b"connection", b"close"),),
            )

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive, held: Held) -> bytes | Reply:
        """Read no further than a body may go."""
        declared = headers.get(b"content-length", b"0")
        if len(declared) > 19 or (declared.isdigit() and int(declared) > self._max_bytes):
            return await self.too_large(receive)
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            parts.append(part)
            held.n_bytes += len(part)
            self._n_bytes += len(part)
            if held.n_bytes > self._max_bytes:
                parts.clear()
                return await self.too_large(receive if message.get("more_body", False) else None)
            refusal = self._too_many()
            if refusal is not None:
                return refusal
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def too_large(self, receive: Receive | None = None) -> Reply:
        """Refuse a body that is too long, once the rest of it has gone by."""
        if receive is not None:
            await self.drain(receive)
        return self._refuse(
            413,
            f"a body may have at most {self._max_bytes:,} bytes (serving.max_body_bytes); "
            "send several requests.",
        )

    async def drain(self, receive: Receive) -> None:
        """Let what is still coming go by, for a while: most clients read no answer before all is sent."""
        n_left = self._max_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while n_left >= 0:
                    message = await receive()
                    if not message.get("more_body", False):  # Also where the client has left.
                        return
                    n_left -= len(message.get("body", b""))

    def too_busy(self, why: str) -> Reply:
        """Refuse a request that may come again later."""
        retry = ((b"retry-after", b"%d" % RETRY_AFTER_S),)
        return self._refuse(429, f"{why}; send this one again later.", retry)

    def _too_many(self) -> Reply | None:
        if self._n_bytes <= MAX_HELD_BODIES * self._max_bytes:
            return None
        return self.too_busy("too many large bodies are in progress")
