"""The client against the endpoint itself, by HTTP that loses answers: readers of the log count an id once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import uvicorn

from raypipe import AsyncClient, Client
from raypipe.api.client import connection
from raypipe.core.clock import SystemClock
from raypipe.core.errors import NotAllowed
from raypipe.core.home import Home, PipelineHome
from raypipe.data.committer import commit_once, read_labels, read_predictions
from raypipe.data.live import answered_once, labelled_predictions, last_labels
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import Fold
from raypipe.registry.store import Registry
from raypipe.serving.app import Asgi, EndpointApp, Message, Receive, Scope, Send
from raypipe.serving.capture import open_capture
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator
from raypipe.serving.pointer import write_pointer
from raypipe.serving.releases import Releases
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.serving.token import Guard, keep_token
from raypipe.testing.serving import tiny_rows, write_tiny_version

TOKEN, OPERATORS = "u" * 40, "o" * 40
N_ROWS = 1_000


class Lossy:
    """Hands requests on; each POST is refused the first time, and its answer is lost the second time."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._n_tries: Counter[bytes] = Counter()
        self.n_lost = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await self._body(receive)
        self._n_tries[body] += 1

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        if self._n_tries[body] == 1:
            await self._refuse(send)
        elif self._n_tries[body] == 2:
            await self._lose(scope, again, send)
        else:
            await self._app(scope, again, send)

    async def _body(self, receive: Receive) -> bytes:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                return body

    async def _refuse(self, send: Send) -> None:
        headers = [(b"retry-after", b"0"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _lose(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the endpoint answer, and send half of that."""
        self.n_lost += 1

        async def half(message: Message) -> None:
            body = message.get("body", b"")
            await send({**message, "body": body[: len(body) // 2], "more_body": True} if body else message)

        await self._app(scope, receive, half)


class Served:
    """The endpoint of a home, behind what loses answers."""

    def __init__(self, home: Path) -> None:
        self.folder = Home(home).pipeline("tiny")
        write_pointer(self.folder.pointer, write_tiny_version(self.folder, "v1", epoch=1))
        clock, token, operators = SystemClock(), home / "serving.token", Home(home).operator_token
        keep_token(token, TOKEN)
        keep_token(operators, OPERATORS)
        settings = ServingSettings(max_rows=200)
        versions = VersionHolder(self.folder.pointer, partial(load_version, self.folder), clock)
        endpoint = Endpoint(
            "tiny",
            settings,
            versions=versions,
            capture=open_capture(self.folder, settings.capture, "r1", clock),
            clock=clock,
            replica="r1",
        )
        registry = Registry(Home(home).registry_url, clock)
        operator = Operator(
            Guard(operators, clock, "this path is the operator's"),
            Releases(registry, self.folder),
            versions.follow,
        )
        self.lossy = Lossy(EndpointApp(endpoint, operator, Guard(token, clock, "this path needs the token")))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/tiny"
        self._server = uvicorn.Server(uvicorn.Config(self.lossy, log_level="critical", lifespan="on"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> PipelineHome:
        """End the endpoint, move its log into the tables, and return where they are."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        commit_once(self.folder)
        return self.folder


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(connection, "FIRST_WAIT_S", 0.002)
    served = Served(tmp_path)
    served.start()
    yield served
    served.stop()


def test_each_row_and_label_counts_once_though_answers_are_lost(served: Served) -> None:
    frame = pl.DataFrame(tiny_rows(N_ROWS))
    with Client(served.url, TOKEN) as client:
        answers = client.predict(frame)
        told = client.feedback(dict.fromkeys(answers["id"], "good"))
    assert answers["prediction"].to_list() == ["good"] * N_ROWS
    assert (told.n_accepted, told.refused) == (N_ROWS, ())
    check_log(served, answers["id"].to_list())


def test_so_it_is_for_many_at_once(served: Served) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(served.url, TOKEN, max_rows=50) as client:
            answers = await client.predict(tiny_rows(N_ROWS))
            await client.feedback({one.id: "good" for one in answers})
            return [one.id for one in answers]

    check_log(served, asyncio.run(ask()))


def check_log(served: Served, ids: list[str]) -> None:
    """Check that what was answered is in the log by its id, and that readers count it once."""
    folder = served.stop()
    predictions, labels = read_predictions(folder), read_labels(folder)
    assert served.lossy.n_lost > 1
    assert predictions.num_rows > N_ROWS < labels.num_rows  # What was answered twice is there twice.
    once = answered_once(predictions)
    assert sorted(once["id"].to_pylist()) == sorted(ids)
    assert last_labels(labels).num_rows == N_ROWS
    assert labelled_predictions(predictions, labels).num_rows == N_ROWS
    same = pl.DataFrame(predictions.select(["id", "inputs", "prediction"])).unique()
    assert same.height == N_ROWS
    counts = Fold(folder, MonitoringSettings()).read("v1", SystemClock().now()).counts
    assert (counts.n_predictions, counts.n_labelled, counts.n_unknown) == (N_ROWS, N_ROWS, 0)
    assert counts.n_redelivered == predictions.num_rows - N_ROWS


def test_rows_that_fail_are_told_beside_the_others(served: Served) -> None:
    rows = [*tiny_rows(1), {**tiny_rows(1)[0], "amount": float("inf")}, {**tiny_rows(1)[0], "size": "three"}]
    with Client(served.url, token_file=served.folder.root.parent / "serving.token") as client:
        good, infinite, text = client.predict(rows)
        nothing = client.predict(rows[1:])
    assert (good.value, good.probabilities, good.version) == ("good", {"bad": 0.25, "good": 0.75}, "v1")
    assert infinite.error == "amount must be a finite number or null. Got 1e999."
    assert text.errors[0].column == "size"
    assert [one.value for one in nothing] == [None, None]


def test_who_may(served: Served) -> None:
    with Client(served.url) as client, pytest.raises(NotAllowed, match="send the header"):
        client.predict(tiny_rows(1))
    with Client(served.url, TOKEN) as client, pytest.raises(NotAllowed, match=r"holds\.$"):
        client.status()
    with Client(served.url, OPERATORS) as client:
        assert client.status().version == "v1"
