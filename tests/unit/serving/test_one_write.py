"""Against uvicorn itself: whether its answers leave in one piece."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from raypipe.serving.app import EndpointApp
from raypipe.serving.direct import ShortWay
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.one_write import hold
from raypipe.serving.operator import Operator


class Wire(asyncio.Transport):
    """Keeps each piece that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.pieces)

    def is_closing(self) -> bool:
        return self.closed_after is not None


async def wire_of(app: Any, *requests: bytes) -> Wire:
    """Send requests over a connection, the next once the one before is answered."""
    config = Config(app, lifespan="off", access_log=False, log_config=None)
    config.load()
    connection, wire = HttpToolsProtocol(config, ServerState(), {}), Wire()
    connection.connection_made(wire)
    for request in requests:
        connection.data_received(request)
        while connection.tasks:
            await asyncio.sleep(0)
    connection.connection_lost(None)
    return wire


def test_head_and_body_are_written_at_once(endpoint: Endpoint, operator: Operator) -> None:
    app = EndpointApp(endpoint, operator)
    asked = b" /tiny/health HTTP/1.1\r\nhost: x\r\n\r\n"
    requests = (b"GET" + asked, b"HEAD" + asked, b"GET" + asked[:-2] + b"connection: close\r\n\r\n")
    apart, joined = (asyncio.run(wire_of(way, *requests)) for way in (app, ShortWay(app, lambda: app)))
    got, head, closing = apart.pieces[:2], apart.pieces[2], apart.pieces[3:]
    assert [len(got), len(closing)] == [2, 2]
    assert joined.pieces == [b"".join(got), head, b"".join(closing)]
    assert joined.closed_after == len(joined.pieces)


def test_another_server_s_send_is_left_alone() -> None:
    async def send(message: Any) -> None: ...

    assert hold(send) is None


def test_what_was_kept_back_goes_out_before_the_connection_closes() -> None:
    wire = Wire()

    class Cycle:
        transport: Any = wire

        async def send(self, message: Any) -> None: ...

    cycle = Cycle()
    held = hold(cycle.send)
    assert held is not None
    assert hold(cycle.send) is None, "it is held already"
    cycle.transport.write(b"head")
    assert wire.pieces == []
    assert not cycle.transport.is_closing()
    cycle.transport.close()
    held.flush()
    assert (wire.pieces, wire.closed_after) == ([b"head"], 1)
