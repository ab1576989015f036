"""Labels of every place come to the endpoint as they are; an endpoint that decodes them for real judges."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner

from raypipe.api import labels
from raypipe.cli import endpoint
from raypipe.cli.main import app
from raypipe.core.errors import ConfigError, EndpointUnavailable, RaypipeError, ServingError, SourceError
from raypipe.serving.config import ServingSettings
from raypipe.serving.feedback import Label, parse_feedback
from raypipe.serving.request import RefusedRequest
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import keep_token
from raypipe.testing.serving import TINY_TASK

TABLE = pa.table({"id": ["a", "b", "c", "d"], "label": ["good", "bad", None, "ugly"], "more": [1, 2, 3, 4]})
TOKEN = "t" * 64


class Receiver(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: list[tuple[str, Any]] = []
        self.sizes: list[int] = []
        self.shown: list[str | None] = []
        self.n_busy = 0
        """How many requests are answered with 429 before one is read."""
        self.n_left = 100
        """How many requests are read before the rest is refused."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.shown.append(self.headers["authorization"])
        if self.server.n_busy:
            self.server.n_busy -= 1
            return self._answer(429, {"error": {"message": "too much to do."}})
        self.server.n_left -= 1
        try:
            if self.server.n_left < 0:
                raise RefusedRequest("no more of it.")
            found = parse_feedback(body, TINY_TASK, 3)
            good = [one for one in found if isinstance(one, Label)]
            self.server.kept += [(one.id, one.label) for one in good]
            self.server.sizes.append(len(found))
            errors = [
                {"index": n, "id": one.id, "message": one.message}
                for n, one in enumerate(found)
                if not isinstance(one, Label)
            ]
            return self._answer(200 if good else 422, {"accepted": len(good), "errors": errors})
        except RefusedRequest as error:
            return self._answer(error.status, {"error": {"message": str(error)}})

    def _answer(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write_parquet(folder: Path) -> list[str]:
    parquet.write_table(TABLE, folder / "l.parquet")
    return ["--file", str(folder / "l.parquet")]


def write_csv(folder: Path) -> list[str]:
    csv.write_csv(TABLE, folder / "l.csv")
    return ["--file", str(folder / "l.csv")]


def write_lines(folder: Path) -> list[str]:
    (folder / "l.jsonl").write_text("\n".join(json.dumps(row) for row in TABLE.to_pylist()))
    return ["--file", str(folder / "l.jsonl")]


def write_delta(folder: Path) -> list[str]:
    deltalake.write_deltalake(str(folder / "l"), TABLE)
    return ["--file", str(folder / "l")]


def write_unnamed(folder: Path) -> list[str]:
    parquet.write_table(TABLE, folder / "labels")
    return ["--file", str(folder / "labels"), "--format", "parquet"]


def write_renamed(folder: Path) -> list[str]:
    parquet.write_table(TABLE.rename_columns(["prediction", "truth", "id"]), folder / "l.parquet")
    columns = ["--id-column", "prediction", "--label-column", "truth"]
    return ["--file", str(folder / "l.parquet"), *columns]


def write_database(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "l.db") as base:
        base.execute("CREATE TABLE l (id TEXT, label TEXT)")
        base.executemany("INSERT INTO l VALUES (?, ?)", [(r["id"], r["label"]) for r in TABLE.to_pylist()])
    base.close()
    return ["--url", "sqlite:///${LABELS_FOLDER}/l.db", "--query", "SELECT id, label FROM l ORDER BY id"]


PLACES = (
    write_parquet,
    write_csv,
    write_lines,
    write_delta,
    write_unnamed,
    write_renamed,
    write_database,
)


def run(folder: Path, port: int, *options: str) -> dict[str, Any]:
    config = folder / "raypipe.yaml"
    serving = f"{{port: {port}, auth: token, max_rows: 3}}"
    config.write_text(
        "name: tiny\nhome: home\ndata:\n  sources: [{name: a, format: csv, path: a.csv}]\n"
        f"  label: outcome\nserving: {serving}\n"
    )
    keep_token(folder / "home" / "serving.token", TOKEN)
    done = CliRunner().invoke(app, ["feedback", str(config), *options, "--json"], catch_exceptions=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("write", PLACES)
def test_labels_of_every_place(
    write: Callable[[Path], list[str]], receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELS_FOLDER", str(tmp_path))
    told = run(tmp_path, receiver.server_port, *write(tmp_path))
    assert receiver.kept == [("a", "good"), ("b", "bad")]
    [error] = told.pop("errors")
    assert told == {"accepted": 2, "rejected": 1, "empty": 1}
    assert (error["index"], error["id"]) == (3, "d"), "its place among all rows that were given"
    assert "ugly" in error["message"]
    assert receiver.shown == [f"Bearer {TOKEN}"]


def test_json_as_it_was(receiver: Receiver, tmp_path: Path) -> None:
    items = [{"id": f"p{n}", "label": "good"} for n in range(7)]
    (tmp_path / "l.json").write_text(json.dumps({"labels": items}))
    assert run(tmp_path, receiver.server_port, "--file", str(tmp_path / "l.json"))["accepted"] == 7
    assert receiver.sizes == [3, 3, 1], "in requests that the endpoint takes"


def test_what_was_kept_before_a_refusal_is_said(receiver: Receiver, tmp_path: Path) -> None:
    spec = EndpointSpec("tiny", tmp_path, ServingSettings(port=receiver.server_port, max_rows=3))
    batches = [
        [{"id": "a", "label": "good"}, {"id": "b", "label": "good"}],
        [{"id": "c", "label": "good"}] * 4,
    ]
    receiver.n_left = 1
    with pytest.raises(ServingError, match=r"400: no more of it\. The first 3 labels are through\."):
        labels.send_labels(spec, batches)  # type: ignore[arg-type]


def test_what_is_not_answered_is_sent_again(receiver: Receiver, tmp_path: Path) -> None:
    items = [{"id": f"p{n}", "label": "good"} for n in range(7)]
    (tmp_path / "l.json").write_text(json.dumps({"labels": items}))
    receiver.n_busy = 2
    assert run(tmp_path, receiver.server_port, "--file", str(tmp_path / "l.json"))["accepted"] == 7
    assert receiver.kept == [(item["id"], "good") for item in items]
    assert len(receiver.shown) == 5


def test_an_endpoint_that_is_not_there_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_N_RETRIES", 0)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "l.json").write_text(json.dumps({"labels": [{"id": "a", "label": "good"}]}))
    with pytest.raises(EndpointUnavailable, match="Start it with `raypipe up`"):
        run(tmp_path, port, "--file", str(tmp_path / "l.json"))


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        (
            ["--file", "l.parquet", "--id-column", "idd"],
            SourceError,
            "has no column 'idd'; did you mean 'id'",
        ),
        (["--file", "nothing.parquet"], SourceError, "nothing.parquet"),
        (
            ["--file", "l.parquet", "--format", "xml"],
            ConfigError,
            "must be one of parquet, csv, jsonl, delta",
        ),
        (["--url", "sqlite:///x.db"], ConfigError, "--url and --query must be given together"),
        (["--url", "no url", "--query", "SELECT 1"], ConfigError, "the labels' place cannot be read"),
        (["--url", "sqlite:///${NOT_SET_ANYWHERE}", "--query", "SELECT 1"], ConfigError, "NOT_SET_ANYWHERE"),
    ],
)
def test_what_cannot_be_read_is_said(
    options: list[str],
    error: type[RaypipeError],
    rule: str,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path)
    with pytest.raises(error, match=rule):
        run(tmp_path, receiver.server_port, *options)
    assert receiver.kept == []
