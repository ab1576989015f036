from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from raypipe.core.errors import RaypipeError, ServingError, StaleEpoch, UnknownVersion
from raypipe.serving import client
from raypipe.serving.client import EndpointStatus, ReleaseReply, wait_for_epoch


class Scripted(HTTPServer):
    """Answers with the statuses of a script, the last one for ever, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, bytes]] = []
        self.sent: list[tuple[str, str, bytes]] = []
        self.authorization: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/tiny"

    def say(self, *statuses: dict[str, object]) -> None:
        self.script = [(200, json.dumps(status).encode()) for status in statuses]


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.sent.append((self.command, self.path, data))
        self.server.authorization.append(self.headers.get("authorization"))
        code, body = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def status(version: str, epoch: int, replica: str = "r1", refused: object = None) -> dict[str, object]:
    return {"version": version, "epoch": epoch, "replica": replica, "refused": refused, "n_rows": 3}


def refusal(epoch: int) -> dict[str, object]:
    return {"version": "v2", "epoch": epoch, "message": "golden.json is missing"}


class Time:
    """Passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s


def wait(server: Scripted, epoch: int, timeout_s: float = 10.0, n_replicas: int = 1) -> EndpointStatus:
    time = Time()
    return wait_for_epoch(
        server.url,
        epoch,
        timeout_s=timeout_s,
        n_replicas=n_replicas,
        sleep=time.sleep,
        monotonic=time.monotonic,
    )


def test_requests_are_json_and_answers_too(server: Scripted) -> None:
    server.script = [(422, b'{"predictions": []}')]
    reply = client.predict(server.url, {"rows": []})
    assert (reply.status, reply.body) == (422, {"predictions": []})
    assert server.sent == [("POST", "/tiny/predict", b'{"rows": []}')]


def test_feedback_is_posted(server: Scripted) -> None:
    server.script = [(200, b'{"accepted": 1}')]
    assert client.feedback(server.url, {"labels": []}).body == {"accepted": 1}
    assert server.sent[0][:2] == ("POST", "/tiny/feedback")


def test_the_status_is_read(server: Scripted) -> None:
    server.say(status("v1", 1, refused=refusal(2)))
    found = client.read_status(server.url)
    assert (found.version, found.epoch, found.replica) == ("v1", 1, "r1")
    assert (found.refused_epoch, found.refused_because) == (2, "golden.json is missing")
    assert found.details["n_rows"] == 3


def test_an_endpoint_that_does_not_answer_is_said() -> None:
    with pytest.raises(ServingError, match=r"does not answer .*refused.*start it with `raypipe up`"):
        client.read_status("http://127.0.0.1:9/tiny")


@pytest.mark.parametrize("answer", [(200, b"hello"), (200, b"[]"), (404, b"{}"), (200, b'{"version": "v1"}')])
def test_another_server_on_the_port_is_said(server: Scripted, answer: tuple[int, bytes]) -> None:
    server.script = [answer]
    with pytest.raises(ServingError, match=r"no raypipe endpoint|must answer with 200"):
        client.read_status(server.url)


def test_waiting_ends_when_the_epoch_is_there(server: Scripted) -> None:
    server.say(status("v1", 1), status("v1", 1), status("v2", 2))
    assert wait(server, 2).version == "v2"
    assert len(server.sent) == 3


def test_waiting_ends_when_every_replica_is_there(server: Scripted) -> None:
    server.say(status("v2", 2, "r1"), status("v2", 2, "r1"), status("v1", 1, "r2"), status("v2", 3, "r2"))
    assert wait(server, 2, n_replicas=2).epoch == 3
    assert len(server.sent) == 4


def test_waiting_ends_with_a_refusal(server: Scripted) -> None:
    server.say(status("v1", 1, refused=refusal(2)))
    with pytest.raises(ServingError, match=r"goes on with v1: golden\.json is missing"):
        wait(server, 2)


def test_waiting_ends_when_time_is_up(server: Scripted) -> None:
    server.say(status("v1", 1, refused=refusal(1)))
    with pytest.raises(ServingError, match="epoch 2 within 1 seconds: it answers with version v1, epoch 1"):
        wait(server, 2, timeout_s=1.0)


SEEN = {"expected": "v2", "epoch": 7}
DONE = (200, b'{"version": "v1", "epoch": 8, "is_new": true}')


def roll_back(server: Scripted, patience_s: float = 10.0) -> ReleaseReply:
    time = Time()
    return client.release(
        server.url,
        "rollback",
        SEEN,
        "secret",
        patience_s=patience_s,
        sleep=time.sleep,
        monotonic=time.monotonic,
    )


def test_a_release_shows_the_token(server: Scripted) -> None:
    server.script = [DONE]
    assert roll_back(server) == ReleaseReply("v1", 8, True)
    assert server.sent == [("POST", "/tiny/rollback", json.dumps(SEEN).encode())]
    assert server.authorization == ["Bearer secret"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_release_that_is_lost_on_the_way_is_asked_for_again(server: Scripted, status: int) -> None:
    server.script = [(status, b"<html>no server</html>"), (status, b""), DONE]
    assert roll_back(server).epoch == 8
    assert len(set(server.sent)) == 1 and len(server.sent) == 3, "each says what was seen before the first"


def test_a_release_of_an_endpoint_that_left_is_asked_for_again_until_patience_ends(server: Scripted) -> None:
    server.script = [(503, b"")]
    with pytest.raises(ServingError, match=r"must answer with a release\. Got 503"):
        roll_back(server, patience_s=1.0)
    assert len(server.sent) == 5
    time = Time()
    with pytest.raises(ServingError, match="does not answer"):
        client.release(
            "http://127.0.0.1:9/tiny", "rollback", SEEN, "s", sleep=time.sleep, monotonic=time.monotonic
        )
    assert time.now_s == 10.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, ServingError), (404, UnknownVersion), (409, StaleEpoch), (422, ServingError), (503, ServingError)],
)
def test_what_the_endpoint_refuses_is_asked_for_once(
    server: Scripted, status: int, kind: type[RaypipeError]
) -> None:
    server.script = [(status, b'{"error": {"message": "no, because."}}')]
    with pytest.raises(kind, match=r"^no, because\.$"):
        roll_back(server)
    assert len(server.sent) == 1
