"""Requests as bytes on a socket, as no well-behaved client would send them, and what came back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from benchmarks.fuzz.kinds import Asked

TIMEOUT_S = 30


@dataclass(frozen=True)
class Came:
    """What came back; no status where the connection was lost before an answer."""

    asked: Asked
    status: int | None
    body: bytes = b""
    error: str = ""


def send(host: str, port: int, asked: Asked) -> Came:
    """Send one request over a connection of its own, and read its answer."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            for part in _parts(asked):
                connection.sendall(part)
            if asked.cut:
                return Came(asked, None)
            return _answer(connection, asked)
    except (OSError, HTTPException) as error:
        return Came(asked, None, error=f"{type(error).__name__}: {error}")


def _answer(connection: socket.socket, asked: Asked) -> Came:
    response = HTTPResponse(connection, method=asked.method)
    response.begin()
    return Came(asked, response.status, response.read())


def _parts(asked: Asked) -> Iterator[bytes]:
    if asked.raw:
        yield asked.raw
        return
    in_part = asked.cut or asked.slow
    body = asked.body[: len(asked.body) // 2] if in_part else asked.body
    length = ("transfer-encoding", "chunked") if asked.chunks else ("content-length", str(len(asked.body)))
    lines = [f"{asked.method} {asked.path} HTTP/1.1", "host: fuzz", "connection: close"]
    lines += [f"{name}: {value}" for name, value in (*asked.headers, length)]
    yield "\r\n".join([*lines, "", ""]).encode("latin-1")
    if not asked.chunks:
        yield body
        return
    size = max(1, -(-len(body) // asked.chunks))
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    if not in_part:
        yield b"0\r\n\r\n"
