"""Answers in one piece: uvicorn writes the head of an answer and its body apart.

A replica that dies in between leaves its client with half an answer, which no proxy can ask another replica
for again; and each piece wakes whoever reads.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, runtime_checkable

from raypipe.serving.app import Send


@runtime_checkable
class _Cycle(Protocol):
    """What uvicorn keeps for one request and its answer; `send` is a method of it."""

    transport: asyncio.WriteTransport | Held


class Held:
    """A transport that keeps the first thing written to it back, and writes it with the next one."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._first: bytes | None = None

    def write(self, data: bytes) -> None:
        """Keep the data back, or write what was kept and the data at once."""
        if self._first is None:
            self._first = data
        else:
            self._transport.write(self._first + data)
            self._first = None

    def flush(self) -> None:
        """Write what was kept back."""
        if self._first is not None:
            self._transport.write(self._first)
            self._first = None

    def close(self) -> None:
        """Write what was kept back, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def hold(send: Send) -> Held | None:
    """Let what `send` writes of one answer go out at once; whoever asked must flush at its end.

    None, and nothing changes, where `send` is not uvicorn's own.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, _Cycle) or isinstance(cycle.transport, Held):
        return None
    held = Held(cycle.transport)
    cycle.transport = held
    return held
