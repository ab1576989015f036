"""An endpoint as clients of the Open Inference Protocol meet it, behind a token, without Ray."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from raypipe.core.clock import SystemClock
from raypipe.core.home import Home
from raypipe.core.ids import Json
from raypipe.data.captured import PredictionRecord, decode
from raypipe.data.frames import read_frames
from raypipe.serving import client
from raypipe.serving.config import ServingSettings
from raypipe.serving.pointer import write_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import keep_token
from raypipe.testing.serving import TINY_TASK, trained_tiny_model, write_tiny_version

TOKEN = "t" * 64
ROWS: list[Json] = [
    {"amount": 12.5, "size": 3, "colour": "red", "member": True, "seen": "2026-01-31T12:00:00Z"},
    {"amount": 3.0, "size": 8, "colour": "bläu", "member": False, "seen": None},
]


@contextmanager
def served(home: Path) -> Iterator[EndpointSpec]:
    """Answer over HTTP and gRPC until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as probe:
        port, grpc_port = (one.getsockname()[1] for one in (listening, probe))
        probe.close()
        spec = EndpointSpec("tiny", home, ServingSettings(port=port, grpc_port=grpc_port, auth="token"))
        keep_token(Home(home).serving_token, TOKEN)
        keep_token(Home(home).operator_token, "o" * 64)
        pointer = write_tiny_version(spec.folder, "v1", 1, model=trained_tiny_model("linear", TINY_TASK))
        write_pointer(spec.folder.pointer, pointer)
        server = uvicorn.Server(uvicorn.Config(build_app(spec, "r1", SystemClock()), log_level="warning"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield spec
        server.should_exit = True
        thread.join(20)


def answers(spec: EndpointSpec, rows: Json) -> tuple[list[Any], list[Any]]:
    """Return the predictions and probabilities that the plain form gives."""
    body: Any = client.predict(spec.url, {"rows": rows}, token=TOKEN).body
    items = body["predictions"]
    return [one["prediction"] for one in items], [list(one["probabilities"].values()) for one in items]


def kept_ids(spec: EndpointSpec) -> list[str]:
    """Return the ids of all predictions in the log."""
    segments = [path for path in spec.folder.wal.glob("*/*") if path.suffix in (".open", ".sealed")]
    records = [decode(one) for path in segments for one in read_frames(path.read_bytes()).payloads]
    return [one.id for one in records if isinstance(one, PredictionRecord)]
