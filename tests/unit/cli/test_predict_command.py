"""`raypipe predict` asks in as many requests as the endpoint's limits need, and again where one is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import EndpointUnavailable, ServingError
from tests.unit.api.client.faulty import Scripted, hang_up, says, serving

Command = Callable[..., Any]
ROWS = "\n".join(json.dumps({"x": x}) for x in range(-1, 24))


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as server:
        yield server


@pytest.fixture
def asking(config: Path, server: Scripted) -> Path:
    port = f"port: {server.server_port}, max_rows: 10"
    config.write_text(config.read_text().replace("port: 1", port))
    return config


def test_more_rows_than_a_request_may_have(asking: Path, server: Scripted, command: Command) -> None:
    server.steps.append(hang_up)
    answers = command("predict", str(asking), "--json", stdin=ROWS).json
    assert [len(body["rows"]) for body in server.bodies] == [10, 10, 10, 5]
    first, *others = answers
    message = {"column": "x", "message": "x must be >= 0."}
    assert first == {"id": first["id"], "error": {**message, "fields": [message]}}
    assert [one["prediction"] for one in others] == [0.0, *range(1, 24)]
    assert others[0]["probabilities"] == {"a": 0.25, "b": 0.75}


def test_a_refusal_is_told(asking: Path, server: Scripted, command: Command) -> None:
    server.steps.append(says(400, {"error": {"message": "rows must be otherwise."}}))
    with pytest.raises(ServingError, match="400: rows must be otherwise"):
        command("predict", str(asking), stdin=ROWS)


def test_an_endpoint_that_is_down_is_to_be_started(config: Path, command: Command) -> None:
    with pytest.raises(EndpointUnavailable, match=r"Connection refused\. Start it with `raypipe up`\.$"):
        command("predict", str(config), stdin=ROWS)
