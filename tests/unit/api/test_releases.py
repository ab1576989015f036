"""Releases as a person asks for them: over HTTP of an endpoint that answers, else in the home."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raypipe.api import releases
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.core.errors import ServingError, StaleEpoch, UnknownVersion
from raypipe.registry.store import Registry
from raypipe.serving.app import EndpointApp
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.serving.releases import CHAMPION, Releases
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import keep_token
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version, tiny_model


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the application, and loses the first answers to POSTs that it is told to lose."""

    app: EndpointApp
    n_posts = 0
    n_to_lose = 0
    another_says: dict[str, object] | None = None
    """What another replica answers to the status that is asked for after the first release."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        scope = {"type": "http", "method": self.command, "path": self.path, "headers": headers}
        sent: list[dict] = []

        async def receive() -> dict:
            return {"type": "http.request", "body": body}

        async def send(message: dict) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))  # type: ignore[arg-type]
        if self.command == "POST" and self.n_to_lose:
            type(self).n_to_lose -= 1
            return
        type(self).n_posts += self.command == "POST"
        other = self.another_says if self.command == "GET" and self.n_posts else None
        self.send_response(sent[0]["status"])
        self.end_headers()
        self.wfile.write(sent[1]["body"] if other is None else json.dumps(other).encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Return a server on a port of its own that answers nothing yet."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Fresh", (Handler,), {})) as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, server: ThreadingHTTPServer) -> Config:
    """Return the config of a pipeline with v1, v2 and v3, of which v2 is the champion."""
    config = parse_config(
        {
            "name": "tiny",
            "home": "home",
            "data": {"sources": [{"name": "files", "format": "csv", "path": "*.csv"}], "label": "outcome"},
            "serving": {"port": server.server_port, "capture": {"enabled": False}},
        },
        tmp_path,
    )
    registry = Registry(config.root.registry_url, FakeClock())
    for good in (0.75, 0.7, 0.6):
        register_tiny_version(registry, config.folder, model=tiny_model(good))
    for version, before in (("v1", None), ("v2", "v1")):
        Releases(registry, config.folder).release(version, expected=before, reason="test")
    keep_token(config.root.operator_token, "f" * 64)
    return config


@pytest.fixture
def registry(config: Config) -> Registry:
    return Registry(config.root.registry_url, FakeClock())


@pytest.fixture
def endpoint(config: Config, server: ThreadingHTTPServer) -> Iterator[type[Handler]]:
    """Let a replica answer, and return what hands it its requests."""
    spec = EndpointSpec(config.name, config.root.root, config.serving)
    handler: type[Handler] = server.RequestHandlerClass  # type: ignore[assignment]
    handler.app = build_app(spec, "r1", FakeClock())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield handler
    server.shutdown()
    thread.join()


@pytest.fixture
def nobody(server: ThreadingHTTPServer) -> None:
    """Let nothing listen on the endpoint's port."""
    server.server_close()


def made(config: Config) -> Releases:
    return Releases(Registry(config.root.registry_url, FakeClock()), config.folder)


def answering(endpoint: type[Handler]) -> Pointer:
    return endpoint.app.endpoint.versions.current.loaded.pointer


def test_the_endpoint_makes_the_release(config: Config, registry: Registry, endpoint: type[Handler]) -> None:
    done = releases.promote(config, made(config), "v3", reason="better")
    assert (done.version, done.url) == ("v3", f"http://127.0.0.1:{config.serving.port}/tiny")
    assert answering(endpoint) == read_pointer(config.folder.pointer)
    assert answering(endpoint).epoch == done.epoch
    assert releases.rollback(config, made(config)).version == "v2"
    assert releases.rollback(config, made(config)).version == "v1"
    assert answering(endpoint).version == registry.alias("tiny", CHAMPION) == "v1"
    newest, _, promoted, *_ = registry.alias_history("tiny", CHAMPION)
    assert (newest.reason, promoted.reason) == ("rolled back", "better")
    with pytest.raises(UnknownVersion, match="no other champion"):
        releases.rollback(config, made(config))


def test_an_answer_that_is_lost_costs_no_second_rollback(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    releases.promote(config, made(config), "v3")
    endpoint.n_to_lose = 2
    assert releases.rollback(config, made(config)).version == "v2"
    assert endpoint.n_to_lose == 0
    assert len(registry.alias_history("tiny", CHAMPION)) == 4


def test_a_replica_that_lags_is_no_reason_to_refuse(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    """Its status tells of v2 still; what was released last is in the home."""
    Releases(registry, config.folder).release("v3", expected="v2", reason="by the controller")
    assert answering(endpoint).version == "v2"
    assert releases.rollback(config, made(config)).version == "v2"
    assert len(registry.alias_history("tiny", CHAMPION)) == 4


def test_what_the_endpoint_refuses_moves_nothing(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    with pytest.raises(UnknownVersion, match="v9"):
        releases.promote(config, made(config), "v9")
    (config.folder.model("v3") / "golden.json").unlink()
    with pytest.raises(ServingError, match="v3 was refused, and v2 stays the champion"):
        releases.promote(config, made(config), "v3")
    registry.set_alias("tiny", CHAMPION, "v1", reason="meanwhile")
    with pytest.raises(StaleEpoch, match="another"):
        releases.promote(config, made(config), "v2")
    assert answering(endpoint).version == "v2"


def test_what_another_replica_refuses_is_taken_back(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    refused = {"version": "v3", "epoch": 3, "message": "no room"}
    endpoint.another_says = {"version": "v2", "epoch": 2, "replica": "r2", "refused": refused}
    with pytest.raises(ServingError, match="goes on with v2: no room"):
        releases.promote(config, made(config), "v3")
    assert answering(endpoint).version == registry.alias("tiny", CHAMPION) == "v2"
    assert registry.alias_history("tiny", CHAMPION)[0].reason.startswith("v3 was refused: ")


def test_without_the_homes_token_the_endpoint_is_left_alone(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    config.root.operator_token.unlink()
    with pytest.raises(ServingError, match=r"operator\.token must hold the operator's token"):
        releases.rollback(config, made(config))
    assert answering(endpoint).version == registry.alias("tiny", CHAMPION) == "v2"


@pytest.mark.usefixtures("nobody")
def test_where_no_endpoint_is_up_the_home_makes_the_release(config: Config, registry: Registry) -> None:
    done = releases.promote(config, made(config), "v3")
    assert (done.version, done.url) == ("v3", None)
    assert "does not answer" in done.because
    assert releases.rollback(config, made(config)).version == "v2"
    pointer = read_pointer(config.folder.pointer)
    assert pointer is not None and pointer.version == registry.alias("tiny", CHAMPION) == "v2"
    assert json.loads(json.dumps(done.to_json()))["over"] == "home"


@pytest.mark.usefixtures("nobody")
def test_before_the_first_release_there_is_nothing_to_go_back_from(config: Config, tmp_path: Path) -> None:
    empty = Registry(f"sqlite:///{tmp_path / 'empty.db'}", FakeClock())
    with pytest.raises(UnknownVersion, match="no champion to go back from"):
        releases.rollback(config, Releases(empty, config.folder))


def test_a_pointer_older_than_what_answers_is_not_what_was_seen(
    config: Config, registry: Registry, endpoint: type[Handler]
) -> None:
    """As where a home was restored from a backup."""
    config.folder.pointer.unlink()
    write_pointer(config.folder.pointer, Pointer("v1", "0" * 64, 1))
    assert releases._newest(config, releases._seen(config)) == ("v2", 2)
