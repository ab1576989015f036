"""An endpoint that does what a script says: it answers, or fails in one of many ways."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler"], None]
"""What is done with one request, in place of an answer."""


class Scripted(ThreadingHTTPServer):
    """Does a step a request; once there are none, answers every row by its number. Remembers bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps: deque[Step] = deque()
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.n_connections = 0
        self.max_rows = 1_000_000
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/tiny"


@contextmanager
def serving() -> Iterator[Scripted]:
    """Serve as long as the block lasts."""
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.n_connections += 1

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked = json.loads(raw) if raw else {}
        with self.server.lock:
            self.server.bodies.append(self.asked)
            self.server.headers.append(dict(self.headers))
            step = self.server.steps.popleft() if self.server.steps else answered
        step(self)

    do_GET = do_POST

    def reply(self, status: int, value: object, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


def answer_to(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of an endpoint whose prediction is the column x; x below 0 is an error."""
    pairs = zip(asked["ids"], asked["rows"], strict=True)
    return {"version": "v1", "predictions": [_item(id_, row["x"]) for id_, row in pairs]}


def _item(id_: str, x: float) -> dict[str, Any]:
    if x is not None and x < 0:
        field = {"column": "x", "message": "x must be >= 0."}
        return {"id": id_, "error": {**field, "fields": [field]}}
    return {"id": id_, "prediction": x or 0.0, "probabilities": {"a": 0.25, "b": 0.75}}


def answered(handler: Handler) -> None:
    """Answer as an endpoint does."""
    if "labels" in handler.asked:
        handler.reply(200, {"accepted": len(handler.asked["labels"]), "errors": []})
    elif "rows" not in handler.asked:
        handler.reply(200, {"version": "v1", "epoch": 3, "replica": "r1", "refused": None})
    elif len(handler.asked["rows"]) > handler.server.max_rows:
        handler.reply(413, {"error": {"message": "a request may have fewer rows."}})
    else:
        handler.reply(200, answer_to(handler.asked))


def says(status: int, value: object = None, **headers: str) -> Step:
    """Answer with a status."""
    return lambda handler: handler.reply(status, value or {"error": {"message": "not now."}}, **headers)


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def truncated(handler: Handler) -> None:
    """Send half of an answer, whose length was said, and close."""
    data = json.dumps(answer_to(handler.asked)).encode()
    handler.reply(200, data[: len(data) // 2], content_length=str(len(data)))
    hang_up(handler)


def cut_unnoticed(handler: Handler) -> None:
    """Send half of an answer whose length was not said, and close."""
    data = json.dumps(answer_to(handler.asked)).encode()
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + data[: len(data) // 2])
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """Answer after the client has given up."""
    handler.connection.settimeout(5)
    handler.close_connection = True
    handler.connection.recv(1)


def dripping(handler: Handler) -> None:
    """Send an answer a byte at a time, until the client has given up."""
    handler.send_response(200)
    handler.send_header("content-length", "100000")
    handler.end_headers()
    handler.close_connection = True
    gone = threading.Event()
    try:
        for _ in range(500):
            handler.wfile.write(b" ")
            gone.wait(0.01)
    except OSError:
        gone.set()
