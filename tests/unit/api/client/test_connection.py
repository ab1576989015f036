"""Whatever is lost on the way is asked for again under the same ids; a refusal is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from raypipe.api.client.clients import Client
from raypipe.api.client.connection import LONGEST_RETRY_AFTER_S, Connection, Patience
from raypipe.api.client.parts import Limits
from raypipe.api.client.sender import Sender
from raypipe.core.errors import ConfigError, EndpointUnavailable, NotAllowed, ServingError
from tests.unit.api.client.faulty import (
    Scripted,
    Step,
    cut_unnoticed,
    dripping,
    hang_up,
    says,
    silent,
    truncated,
)

ROWS = [{"x": 1.0}, {"x": -1.0}, {"x": 3.0}]


class Waits(list[float]):
    """Takes the seconds that would be waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def client(server: Scripted, waits: Waits) -> Iterator[Client]:
    with open_client(server, waits, Patience(20, 3)) as client:
        yield client


def open_client(server: Scripted, waits: Waits, patience: Patience, token: str | None = None) -> Client:
    client = Client(server.url)
    connection = Connection(server.url, token, patience, wait=waits, jitter=lambda: 1.0)
    client._sender = Sender(connection, Limits(100, 10_000))
    return client


@pytest.mark.parametrize(
    "step",
    [hang_up, truncated, cut_unnoticed, *map(says, (408, 429, 502, 503, 504))],
    ids=["hang up", "truncated", "cut", "408", "429", "502", "503", "504"],
)
def test_what_is_lost_is_sent_again_under_the_same_ids(
    client: Client, server: Scripted, waits: Waits, step: Step
) -> None:
    server.steps.extend([step, step])
    answers = client.predict(ROWS)
    assert [one.value for one in answers] == [1.0, None, 3.0]
    first, second, third = server.bodies
    assert first == second == third
    assert first["ids"] == [one.id for one in answers]
    assert waits == [0.25, 0.5]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (hang_up, "Remote end closed connection without response"),
        (cut_unnoticed, "the answer breaks off after"),
        (says(429), "it answers 429: not now"),
    ],
    ids=["hang up", "cut", "429"],
)
def test_patience_ends(client: Client, server: Scripted, step: Step, why: str) -> None:
    server.steps.extend([step] * 4)
    with pytest.raises(EndpointUnavailable, match=rf"/tiny does not answer, after 4 tries: .*{why}.*\.$"):
        client.predict(ROWS)
    assert len(server.bodies) == 4


@pytest.mark.parametrize("step", [silent, dripping], ids=["silent", "dripping"])
def test_who_is_slow_is_asked_again(server: Scripted, waits: Waits, step: Step) -> None:
    server.steps.append(step)
    with open_client(server, waits, Patience(0.5, 3)) as client:
        answers = client.predict(ROWS)
    assert [one.value for one in answers] == [1.0, None, 3.0]
    assert all(body == server.bodies[0] for body in server.bodies[1:])
    assert len(server.bodies) > 1


@pytest.mark.parametrize(
    ("step", "why"),
    [(silent, "no answer came within 0.1 seconds"), (dripping, "the answer takes longer than 0.1 seconds")],
    ids=["silent", "dripping"],
)
def test_patience_with_who_is_slow_ends(server: Scripted, waits: Waits, step: Step, why: str) -> None:
    server.steps.extend([step] * 2)
    told = pytest.raises(EndpointUnavailable, match=rf"after 2 tries: {why}\.$")
    with open_client(server, waits, Patience(0.1, 1)) as client, told:
        client.predict(ROWS)


def test_nobody_listens(waits: Waits, server: Scripted) -> None:
    connection = Connection("http://127.0.0.1:9/tiny", None, Patience(1, 1), wait=waits)
    with pytest.raises(EndpointUnavailable, match=r"after 2 tries: Failed to .* Connection refused\.$"):
        connection.ask("GET", "status")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ServingError), (401, NotAllowed), (403, NotAllowed), (404, ServingError), (500, ServingError)],
)
def test_a_refusal_is_told_at_once(
    client: Client, server: Scripted, waits: Waits, status: int, kind: type[ServingError]
) -> None:
    server.steps.append(says(status, {"error": {"message": "because of this."}}))
    with pytest.raises(kind, match=rf"refuses the request with {status}: because of this\.$") as told:
        client.predict(ROWS)
    assert type(told.value) is kind
    assert (len(server.bodies), waits) == (1, [])


def test_a_redirect_is_not_followed(client: Client, server: Scripted) -> None:
    server.steps.append(says(307, location="http://127.0.0.1:9/tiny/predict"))
    with pytest.raises(ServingError, match="refuses the request with 307"):
        client.predict(ROWS)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"version": "v1", "predictions": []},
        {"version": "v1", "predictions": [{"id": "another", "prediction": 1}] * 3},
    ],
    ids=["no object", "too few", "of others"],
)
def test_an_answer_to_something_else_is_refused(client: Client, server: Scripted, value: object) -> None:
    server.steps.append(lambda handler: handler.reply(200, value))
    with pytest.raises(ServingError, match="must answer with a prediction for each of 3 ids"):
        client.predict(ROWS)


def test_retry_after_is_waited_for(client: Client, server: Scripted, waits: Waits) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.steps.extend(
        [says(429, retry_after="2"), says(503, retry_after=at), says(429, retry_after="86400")]
    )
    client.predict(ROWS)
    assert waits[0] == 2.0
    assert 20.0 < waits[1] <= 30.0
    assert waits[2] == LONGEST_RETRY_AFTER_S


def test_connections_are_kept(client: Client, server: Scripted) -> None:
    for _ in range(5):
        client.predict(ROWS)
    client.status()
    assert server.n_connections == 1


def test_the_token_is_shown_to_the_endpoint_alone(server: Scripted, waits: Waits) -> None:
    with open_client(server, waits, Patience(1, 0), "secret") as client:
        client.predict(ROWS)
        assert "secret" not in repr(client) + repr(vars(client))
    assert server.headers[0]["authorization"] == "Bearer secret"


def test_a_closed_client_says_so(client: Client) -> None:
    client.close()
    with pytest.raises(ServingError, match=r"the client of http://.*/tiny is closed; make a new one\."):
        client.predict(ROWS)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/x", "ftp://host/x", "http:///x", "http://host/x?y=1", "http://me:secret@host/x"]
)
def test_a_url_must_be_an_endpoints(url: str) -> None:
    with pytest.raises(ConfigError, match="url must"):
        Client(url)


@pytest.mark.parametrize(
    "wrong", [{"timeout_s": 0}, {"max_retries": -1}, {"max_rows": 0}, {"max_body_bytes": 0}]
)
def test_arguments_are_bounded(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name} must be >"):
        Client("http://host/x", **wrong)
