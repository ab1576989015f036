"""Connections that ask without pause, and note when each answer came and from which version."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_AGAIN = re.compile(rb"retry-after: *(\d+)", re.IGNORECASE)
_VERSION = re.compile(rb'"version": ?"(v\d+)"')
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was sent and answered, by the monotonic clock, and what came."""

    sent: float
    answered: float
    status: int
    """0 where the connection was lost."""
    version: str
    again_in_s: int | None = None
    """After which time a refused request may be sent again, if the answer says so."""


class Asking:
    """Sends one body again and again on so many connections, from `start` to `stop`.

    Each waits for `pause_s` after an answer, and a `patient` one for as long as a refusal says.
    """

    def __init__(
        self, url: str, body: bytes, connections: int, *, patient: bool = False, pause_s: float = 0.0
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        self._request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        self._n_connections = connections
        self._is_patient, self._pause_s = patient, pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()), daemon=True)
        self.answers: deque[Asked] = deque()
        """In the order of their coming."""

    def start(self) -> None:
        """Begin to ask.

        Until the end no garbage is collected: a full collection among so many answers takes this process
        100 to 180 ms, in which it would find every answer late.
        """
        gc.disable()
        self._thread.start()

    def stop(self) -> None:
        """End, once the requests under way have been answered."""
        self._stopping.set()
        self._thread.join(STOP_S)
        gc.enable()

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask() for _ in range(self._n_connections)))

    async def _ask(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._ask_while_connected()
            except OSError:
                self.answers.append(Asked(began, time.monotonic(), 0, ""))
                await asyncio.sleep(0.01)

    async def _ask_while_connected(self) -> None:
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        over, no_more = self._stopping.is_set, partial(lost.set_result, None)
        connection = _Connection(self._request, self.answers.append, over, no_more, self._wait_s)
        await loop.create_connection(lambda: connection, self._host, self._port)
        await lost

    def _wait_s(self, answer: Asked) -> float:
        told_s = answer.again_in_s if self._is_patient else None
        return self._pause_s if told_s is None else told_s


class _Connection(asyncio.Protocol):
    """Asks again as soon as an answer is whole; ends with the load, or when the other side does."""

    def __init__(
        self,
        request: bytes,
        took: Callable[[Asked], None],
        is_over: Callable[[], bool],
        lost: Callable[[], None],
        wait_s: Callable[[Asked], float],
    ) -> None:
        self._wait_s = wait_s
        self._request, self._took, self._is_over, self._lost = request, took, is_over, lost
        self._sent = 0.0
        self._waits = False
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, split, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if split else None
        if length is None or len(body) < int(length[1]):
            return
        self._waits = False
        version = _VERSION.search(body)
        status = int(head[9:12])
        again = _AGAIN.search(head)
        again_in_s = int(again[1]) if again else None
        named = version[1].decode() if version else ""
        answer = Asked(self._sent, time.monotonic(), status, named, again_in_s)
        self._took(answer)
        if wait_s := self._wait_s(answer):
            asyncio.get_running_loop().call_later(wait_s, self._next)
        else:
            self._next()

    def connection_lost(self, _: Exception | None) -> None:
        if self._waits:
            self._took(Asked(self._sent, time.monotonic(), 0, ""))
        self._lost()

    def _next(self) -> None:
        if self._is_over() or self._transport.is_closing():
            self._transport.close()
            return
        self._data, self._waits, self._sent = b"", True, time.monotonic()
        self._transport.write(self._request)


def slowest_s(answers: Sequence[Asked]) -> float:
    """Return the longest time from a request to its answer; 0 without one."""
    return max((one.answered - one.sent for one in answers), default=0.0)


def settled_s(answers: Sequence[Asked], asked_at: float, version: str) -> float:
    """Return the time from a moment to the last request that another version answered; 0 without one.

    >>> at = lambda sent, version: Asked(sent, sent + 0.1, 200, version)
    >>> settled_s([at(1.0, "v1"), at(1.5, "v1"), at(1.6, "v2")], 1.25, "v2")
    0.25
    """
    others = [one.sent - asked_at for one in answers if one.status == 200 and one.version != version]
    return max((one for one in others if one > 0.0), default=0.0)
