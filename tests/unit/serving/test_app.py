from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.home import PipelineHome
from raypipe.serving.app import MAX_INLINE_OBJECTS, EndpointApp
from raypipe.serving.bodies import MAX_HELD_BODIES
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator
from raypipe.serving.pointer import write_pointer
from raypipe.serving.swap import VersionHolder
from raypipe.serving.token import Guard, keep_token
from raypipe.testing import FakeClock
from raypipe.testing.serving import write_tiny_version

ROW = {"amount": 1, "size": 3, "colour": "red", "member": True}
JSON_TYPE = (b"content-type", b"application/json")


class Answer:
    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.sent = sent
        self.status: int = sent[0]["status"] if sent else 0
        self.headers: dict[bytes, bytes] = dict(sent[0]["headers"]) if sent else {}
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def message(self) -> str:
        return json.loads(self.body)["error"]["message"]


async def ask(
    app: EndpointApp,
    method: str,
    path: str,
    *parts: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,),
    leave: bool = False,
) -> Answer:
    sent: list[dict[str, Any]] = []
    messages = [
        {"type": "http.request", "body": part, "more_body": leave or number < len(parts) - 1}
        for number, part in enumerate(parts or (b"",))
    ] + [{"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": list(headers)}, receive, send)
    return Answer(sent)


def run(work: Awaitable[Answer]) -> Answer:
    async def inner() -> Answer:
        return await work

    return asyncio.run(inner())


def run_all(*work: Awaitable[Answer]) -> list[Answer]:
    async def inner() -> list[Answer]:
        return list(await asyncio.gather(*work))

    return asyncio.run(inner())


@pytest.fixture
def app(endpoint: Endpoint, operator: Operator) -> EndpointApp:
    return EndpointApp(endpoint, operator)


def predict(n_rows: int = 1) -> bytes:
    return json.dumps({"rows": [ROW] * n_rows}).encode()


def test_a_prediction_over_http(app: EndpointApp) -> None:
    answer = run(ask(app, "POST", "/tiny/predict", predict()))
    assert answer.status == 200
    assert answer.headers[b"content-length"] == str(len(answer.body)).encode()
    assert json.loads(answer.body)["predictions"][0]["prediction"] == "good"


def test_a_body_in_parts_is_one_body(app: EndpointApp) -> None:
    data = predict()
    assert run(ask(app, "POST", "/tiny/predict", data[:9], b"", data[9:])).status == 200


@pytest.mark.parametrize("n_rows", [MAX_INLINE_OBJECTS - 1, MAX_INLINE_OBJECTS, 2000])
def test_many_rows_are_answered_by_a_thread_alike(app: EndpointApp, n_rows: int) -> None:
    answer = run(ask(app, "POST", "/tiny/predict", predict(n_rows)))
    assert len(json.loads(answer.body)["predictions"]) == n_rows


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/", 404, "no such path; there are /tiny/predict"),
        ("GET", "/tiny", 404, "no such path"),
        ("GET", "/tiny/", 404, "no such path"),
        ("GET", "/tinypredict", 404, "no such path"),
        ("GET", "/tiny/predict/", 404, "no such path"),
        ("GET", "/other/status", 404, "no such path"),
        ("GET", "/tiny/predict", 405, "this path answers POST. Got GET."),
        ("DELETE", "/tiny/feedback", 405, "this path answers POST. Got DELETE."),
        ("POST", "/tiny/status", 405, "this path answers GET, HEAD. Got POST."),
        ("POST", "/tiny/predict", 400, "is not JSON"),
    ],
)
def test_what_is_not_served_is_said(app: EndpointApp, method: str, path: str, status: int, told: str) -> None:
    answer = run(ask(app, method, path))
    assert answer.status == status
    assert told in answer.message
    assert (b"allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 200),
        (((b"content-type", b"Application/JSON; charset=utf-8"),), 200),
        (((b"content-type", b"application/x-www-form-urlencoded"),), 415),
        (((b"content-type", b"text/plain"),), 415),
        ((JSON_TYPE, (b"content-encoding", b"gzip")), 415),
    ],
)
def test_content_types(app: EndpointApp, headers: tuple[tuple[bytes, bytes], ...], status: int) -> None:
    answer = run(ask(app, "POST", "/tiny/predict", predict(), headers=headers))
    assert answer.status == status


def test_a_body_that_is_too_large_is_not_read_to_its_end(
    make_endpoint: Callable[..., Endpoint], operator: Operator
) -> None:
    app = EndpointApp(make_endpoint(max_body_bytes=1024), operator)
    for length in (b"1025", b"9" * 5000):
        declared = run(ask(app, "POST", "/tiny/predict", headers=(JSON_TYPE, (b"content-length", length))))
        assert declared.status == 413
    chunked = run(ask(app, "POST", "/tiny/predict", b"x" * 1000, b"x" * 1000, b"x" * 1000))
    assert chunked.status == 413
    assert "at most 1,024 bytes (serving.max_body_bytes)" in chunked.message


@pytest.mark.parametrize("stalls", [False, True])
def test_a_body_without_end_is_let_go_by_for_a_while_only(
    make_endpoint: Callable[..., Endpoint],
    operator: Operator,
    stalls: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raypipe.serving.bodies.DRAIN_S", 0.05)
    app = EndpointApp(make_endpoint(max_body_bytes=1024), operator)
    sent: list[Any] = []
    n_read = 0

    async def receive() -> Any:
        nonlocal n_read
        n_read += 1
        if stalls and n_read > 15:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/tiny/predict", "headers": [JSON_TYPE]}
    asyncio.run(app(scope, receive, send))
    assert Answer(sent).status == 413
    assert n_read <= 11 + 11


def test_a_client_that_leaves_gets_no_answer(app: EndpointApp) -> None:
    assert run(ask(app, "POST", "/tiny/predict", b'{"rows":', leave=True)).sent == []


def test_a_model_that_fails_costs_only_its_answer(
    app: EndpointApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(body: bytes) -> None:
        raise RuntimeError("out of coffee")

    monkeypatch.setattr(endpoint, "predict_all", fail)
    answer = run(ask(app, "POST", "/tiny/predict", predict()))
    assert (answer.status, answer.message) == (500, "the model failed: RuntimeError: out of coffee")
    assert run(ask(app, "GET", "/tiny/health")).status == 200


def test_requests_that_wait_together_are_one_call_of_the_model(
    app: EndpointApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []
    predict_all = endpoint.predict_all

    def counted(bodies: Any) -> Any:
        together.append(len(bodies))
        return predict_all(bodies)

    monkeypatch.setattr(endpoint, "predict_all", counted)
    answers = run_all(*(ask(app, "POST", "/tiny/predict", predict()) for _ in range(9)))
    assert [answer.status for answer in answers] == [200] * 9
    assert together == [9]


def test_a_request_that_breaks_the_model_fails_alone(
    app: EndpointApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_all = endpoint.predict_all

    def fragile(bodies: Any) -> Any:
        if any(b"poison" in body for body in bodies):
            raise RuntimeError("poisoned")
        return predict_all(bodies)

    monkeypatch.setattr(endpoint, "predict_all", fragile)
    bodies = [predict(), b'{"rows": ["poison"]}', predict()]
    answers = run_all(*(ask(app, "POST", "/tiny/predict", body) for body in bodies))
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[1].message == "the model failed: RuntimeError: poisoned"


@pytest.mark.parametrize("n_rows", [1, MAX_INLINE_OBJECTS])
def test_more_than_fits_is_refused_one_after_the_other(
    make_endpoint: Callable[..., Endpoint], operator: Operator, n_rows: int
) -> None:
    asked_for: list[float] = []

    def delay_s() -> float:
        asked_for.append(0.001 * len(asked_for))
        return asked_for[-1]

    app = EndpointApp(make_endpoint(max_ongoing_requests=3), operator, refusal_delay_s=delay_s)
    for n_before in (0, 2):  # What was refused or answered holds no place.
        answers = run_all(*(ask(app, "POST", "/tiny/predict", predict(n_rows)) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 429, 429]
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.headers[b"retry-after"] == b"1"
        assert refused.message == (
            "3 requests are in progress (serving.max_ongoing_requests); send this one again later."
        )
        assert len(asked_for) == n_before + 2, "each waits for a time of its own"


def test_a_crowd_that_stays_is_refused_sooner_than_a_burst(
    make_endpoint: Callable[..., Endpoint], operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raypipe.serving.room.BURST_S", 0.0)
    settings = {"max_ongoing_requests": 3, "max_sustained_requests": 2}
    app = EndpointApp(make_endpoint(**settings), operator, refusal_delay_s=float)
    answers = run_all(*(ask(app, "POST", "/tiny/predict", predict(1)) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status == 429)
    assert "(serving.max_sustained_requests)" in refused.message
    assert refused.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize("route", ["status", "health", "openapi.json", "docs"])
def test_what_can_be_asked_can_be_asked_by_head(app: EndpointApp, route: str) -> None:
    answer = run(ask(app, "GET", f"/tiny/{route}"))
    head = run(ask(app, "HEAD", f"/tiny/{route}"))
    assert answer.status == head.status == 200
    assert head.headers[b"content-type"] == answer.headers[b"content-type"]
    assert head.body == b""


def test_the_docs_show_a_call_that_works(app: EndpointApp) -> None:
    page = run(ask(app, "GET", "/tiny/docs", headers=((b"host", b"example.com:8000"),)))
    assert page.headers[b"content-type"] == b"text/html; charset=utf-8"
    assert b"http://example.com:8000/tiny/predict" in page.body
    odd = run(ask(app, "GET", "/tiny/docs", headers=((b"host", b"<script>"),)))
    assert b"<script>" not in odd.body


def test_the_lifespan_watches_the_pointer(
    folder: PipelineHome,
    make_endpoint: Callable[..., Endpoint],
    operator: Operator,
    versions: VersionHolder,
) -> None:
    app = EndpointApp(make_endpoint(poll_interval_s=0.001), operator)

    async def live() -> list[str]:
        messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        task = asyncio.create_task(app({"type": "lifespan"}, messages.get, sent.put))
        await messages.put({"type": "lifespan.startup"})
        started = (await sent.get())["type"]
        write_pointer(folder.pointer, write_tiny_version(folder, "v2", 2))
        while versions.current.loaded.pointer.version != "v2":
            await asyncio.sleep(0.001)
        await messages.put({"type": "lifespan.shutdown"})
        await task
        return [started, (await sent.get())["type"]]

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_websocket_is_closed(app: EndpointApp) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(app({"type": "websocket"}, receive, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1003}]


USER, TOKEN = "u" * 64, "f" * 64


@pytest.fixture
def guarded(endpoint: Endpoint, operator: Operator, clock: FakeClock, tmp_path: Path) -> EndpointApp:
    keep_token(tmp_path / "serving.token", USER)
    users = Guard(tmp_path / "serving.token", clock, "this endpoint asks for a token")
    return EndpointApp(endpoint, operator, users)


def shown(token: str) -> tuple[tuple[bytes, bytes], ...]:
    return (JSON_TYPE, (b"authorization", b"Bearer " + token.encode()))


@pytest.mark.parametrize(
    ("method", "route", "token"),
    [
        ("POST", "predict", USER),
        ("GET", "docs", USER),
        ("GET", "openapi.json", USER),
        ("GET", "status", TOKEN),
    ],
)
def test_a_guarded_endpoint_answers_who_shows_the_right_token(
    guarded: EndpointApp, method: str, route: str, token: str
) -> None:
    body = predict() if method == "POST" else b""
    other = TOKEN if token == USER else USER
    nobody = run(ask(guarded, method, f"/tiny/{route}", body))
    assert (nobody.status, nobody.headers[b"www-authenticate"]) == (401, b"Bearer")
    assert run(ask(guarded, method, f"/tiny/{route}", body, headers=shown(other))).status == 403
    assert run(ask(guarded, method, f"/tiny/{route}", body, headers=shown(token))).status == 200


def test_labels_need_the_token_and_health_does_not(guarded: EndpointApp, capture: Any) -> None:
    body = json.dumps({"labels": [{"id": "a", "label": "good"}]}).encode()
    assert run(ask(guarded, "POST", "/tiny/feedback", body)).status == 401
    assert capture.kept == []
    assert run(ask(guarded, "POST", "/tiny/feedback", body, headers=shown(USER))).status == 200
    assert len(capture.kept) == 1
    assert run(ask(guarded, "GET", "/tiny/health")).status == 200


def test_who_may_not_is_told_whatever_the_body_is(guarded: EndpointApp) -> None:
    for route, headers in (("predict", [JSON_TYPE]), ("rollback", list(shown(USER)))):
        for parts in ([b"{"], [b"{" * 10_000] * 3):
            refused = run(ask(guarded, "POST", f"/tiny/{route}", *parts, headers=tuple(headers)))
            assert refused.status == (401 if route == "predict" else 403)


def test_a_body_that_does_not_come_is_not_waited_for(
    make_endpoint: Callable[..., Endpoint], operator: Operator
) -> None:
    app = EndpointApp(make_endpoint(body_timeout_s=0.05), operator)
    sent: list[Any] = []

    async def receive() -> Any:
        if not sent:
            sent.append(None)
            return {"type": "http.request", "body": predict()[:5], "more_body": True}
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/tiny/predict", "headers": [JSON_TYPE]}
    asyncio.run(app(scope, receive, send))
    late = Answer(sent[1:])
    assert (late.status, late.headers[b"connection"]) == (408, b"close")
    assert late.message == "a body must come within 0.05 seconds (serving.body_timeout_s)."


def test_the_bytes_of_all_bodies_that_are_coming_are_bounded(
    make_endpoint: Callable[..., Endpoint], operator: Operator
) -> None:
    """Each is within its bound and does not end; one more than fits is refused, and they leave room again."""
    app = EndpointApp(make_endpoint(max_body_bytes=1024, body_timeout_s=0.2), operator)

    def slow() -> Awaitable[Answer]:
        sent: list[Any] = []
        parts = [b" " * 1024]

        async def receive() -> Any:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": True}
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        async def asked() -> Answer:
            scope = {"type": "http", "method": "POST", "path": "/tiny/predict", "headers": [JSON_TYPE]}
            await app(scope, receive, send)
            return Answer(sent)

        return asked()

    answers = run_all(*(slow() for _ in range(MAX_HELD_BODIES + 1)))
    assert [one.status for one in answers] == [408] * MAX_HELD_BODIES + [429]
    assert answers[-1].headers[b"retry-after"] == b"1"
    assert run(ask(app, "POST", "/tiny/predict", predict())).status == 200
