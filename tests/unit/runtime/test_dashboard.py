"""A URL at which no dashboard answers to us is told so, each way in one sentence."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest

from raypipe.core.errors import ClusterError, ConfigError
from raypipe.runtime.dashboard import dashboard_url, require_dashboard, require_version

Answering = Callable[[int, bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Return a function that starts a server with one answer to everything, and returns its URL."""
    with ExitStack() as servers:

        def start(status: int, body: bytes) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None: ...

            server = servers.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://head:8265", "http://head:8265"),
        ("https://ray.example.org/", "https://ray.example.org"),
        ("10.0.0.5:8265", "http://10.0.0.5:8265"),
        ("head", "http://head"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert dashboard_url(address) == url


@pytest.mark.parametrize("address", ["ray://head:10001", "", "http://", "file:///etc/passwd"])
def test_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="--address must be the URL of a Ray dashboard"):
        dashboard_url(address)


def test_a_dashboard_of_our_version(answering: Answering) -> None:
    require_dashboard(answering(200, json.dumps({"ray_version": version("ray")}).encode()), None)


def test_another_version(answering: Answering) -> None:
    url = answering(200, b'{"ray_version": "2.9.0"}')
    with pytest.raises(
        ClusterError, match=r"is 2\.9\.0 and the one here is .*; install Ray 2\.9\.0 here, or"
    ):
        require_dashboard(url, None)


def test_versions() -> None:
    require_version("http://head", "2.60.0", "2.60.0")
    with pytest.raises(ClusterError, match=r"http://head is 2\.61\.0 and the one here is 2\.60\.0"):
        require_version("http://head", "2.61.0", "2.60.0")


@pytest.mark.parametrize(
    ("status", "body"), [(404, b""), (200, b"<html>"), (200, b"[]"), (500, b""), (200, b"{}")]
)
def test_something_else_answers(answering: Answering, status: int, body: bytes) -> None:
    with pytest.raises(ClusterError, match="is no Ray dashboard; correct --address"):
        require_dashboard(answering(status, body), None)


@pytest.mark.parametrize(
    ("status", "token", "said"),
    [(401, None, "asks for a token and there is none; put"), (403, "x", "refuses our token; put")],
)
def test_tokens(answering: Answering, status: int, token: str | None, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        require_dashboard(answering(status, b"no"), token)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        ClusterError, match=rf"nothing answers at http://127\.0\.0\.1:{port} .*correct --address"
    ):
        require_dashboard(f"http://127.0.0.1:{port}", None)


def test_what_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x00\x00\x12\x04 no HTTP\r\n")

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ClusterError, match="is no Ray dashboard"):
            require_dashboard(f"http://127.0.0.1:{server.getsockname()[1]}", None)
        thread.join()
