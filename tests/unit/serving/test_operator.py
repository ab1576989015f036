"""Releases over HTTP, by whoever shows the token: a registry with three versions, of which v1 serves."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

import pytest

from raypipe.core.errors import RaypipeError
from raypipe.core.home import PipelineHome
from raypipe.registry.store import Registry
from raypipe.serving.app import EndpointApp
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.serving.releases import CHAMPION, Releases
from raypipe.serving.swap import LoadedVersion, VersionHolder, load_version
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version, tiny_model, write_tiny_version

TOKEN = (b"authorization", b"Bearer " + b"f" * 64)


@pytest.fixture
def released(registry: Registry, folder: PipelineHome) -> Pointer:
    """Release v1 of three registered versions."""
    for good in (0.75, 0.7, 0.6):
        register_tiny_version(registry, folder, model=tiny_model(good))
    return Releases(registry, folder).release("v1", expected=None, reason="the first")


@pytest.fixture
def app(endpoint: Endpoint, operator: Operator) -> EndpointApp:
    return EndpointApp(endpoint, operator)


def post(
    app: EndpointApp, route: str, body: object, headers: tuple[tuple[bytes, bytes], ...] = (TOKEN,)
) -> tuple[int, dict, dict[bytes, bytes]]:
    sent: list[dict] = []
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def receive() -> dict:
        return {"type": "http.request", "body": data}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/tiny/{route}", "headers": list(headers)}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


def reasons(registry: Registry) -> list[str]:
    return [change.reason for change in reversed(registry.alias_history("tiny", CHAMPION))]


def test_a_promotion_and_the_way_back(app: EndpointApp, registry: Registry, folder: PipelineHome) -> None:
    """Each is answered when this replica answers with it."""
    status, body, _ = post(app, "promote", {"version": "v2"})
    assert (status, body) == (200, {"version": "v2", "epoch": 2, "is_new": True})
    assert app.endpoint.versions.current.loaded.pointer == read_pointer(folder.pointer)
    status, body, _ = post(app, "rollback", {"expected": "v2", "epoch": 2})
    assert (status, body) == (200, {"version": "v1", "epoch": 3, "is_new": True})
    assert app.endpoint.versions.current.loaded.pointer == read_pointer(folder.pointer)
    assert reasons(registry) == ["the first", "promoted by hand", "rolled back"]


def test_the_history_has_the_reasons(app: EndpointApp, registry: Registry) -> None:
    post(app, "promote", {"version": "v2", "expected": "v1", "reason": "better on Mondays"})
    post(app, "rollback", {"expected": "v2", "reason": "not on Tuesdays"})
    assert reasons(registry)[1:] == ["better on Mondays", "rolled back: not on Tuesdays"]
    kinds = [(entry.kind, entry.subject) for entry in registry.history("tiny", 2)]
    assert kinds == [("alias_moved", "champion")] * 2, "the controller reads these as a champion that changed"


def test_a_repeat_is_answered_alike_and_does_nothing(app: EndpointApp, registry: Registry) -> None:
    """A proxy may send a request twice, and a client that heard nothing asks again."""
    post(app, "promote", {"version": "v2"})
    post(app, "promote", {"version": "v3"})
    first, again = (post(app, "rollback", {"expected": "v3", "epoch": 3}) for _ in range(2))
    assert first[:2] == (200, {"version": "v2", "epoch": 4, "is_new": True})
    assert again[:2] == (200, {"version": "v2", "epoch": 4, "is_new": False})
    assert len(reasons(registry)) == 4


def test_repeats_side_by_side_roll_back_once(app: EndpointApp, registry: Registry) -> None:
    post(app, "promote", {"version": "v2"})
    post(app, "promote", {"version": "v3"})
    found: list[tuple[int, dict]] = []
    threads = [
        threading.Thread(target=lambda: found.append(post(app, "rollback", {"expected": "v3"})[:2]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in found} == {200}
    assert {body["version"] for _, body in found} == {"v2"}
    assert sum(body["is_new"] for _, body in found) == 1
    assert registry.alias("tiny", CHAMPION) == "v2"


@pytest.mark.parametrize("route", ["promote", "rollback"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [((), 401), (((b"authorization", b"Basic x"),), 401), (((b"authorization", b"Bearer x"),), 403)],
)
def test_without_the_token_nothing_moves(
    app: EndpointApp,
    registry: Registry,
    route: str,
    headers: tuple[tuple[bytes, bytes], ...],
    status: int,
) -> None:
    found, body, answered = post(app, route, b"not even JSON", headers)
    assert found == status
    assert "operator.token" in body["error"]["message"]
    assert (b"www-authenticate" in answered) == (status == 401)
    assert reasons(registry) == ["the first"]


@pytest.mark.parametrize(
    ("route", "body", "status", "told"),
    [
        ("promote", {"version": "v9"}, 404, "v9"),
        ("rollback", {"expected": "v1"}, 404, "no other champion to roll back to"),
        ("promote", {"version": "v2", "expected": "v3"}, 409, "must still name v3. Got v1"),
        ("promote", {"version": "v2", "epoch": 0}, 409, "another release was faster"),
        ("rollback", {"expected": "v2"}, 409, "must still be v2. Got v1, epoch 1"),
        ("promote", {}, 400, "Object missing required field `version`"),
        ("rollback", {}, 400, "Object missing required field `expected`"),
        ("rollback", {"expected": "v1", "force": True}, 400, "unknown field `force`"),
        ("rollback", {"expected": "v1", "reason": "x" * 501}, 400, "length <= 500"),
        ("promote", b"", 400, "the body is not JSON in UTF-8"),
        ("promote", {"version": "v2", "epoch": 10**30}, 400, "epoch"),
        ("promote", {"version": "v2", "epoch": -1}, 400, "epoch"),
        ("promote", {"version": "../v2"}, 400, "version"),
        ("promote", {"version": "v" * 101}, 400, "version"),
        ("promote", b"[" * 10_000, 400, "the body"),
    ],
)
def test_what_is_refused_is_said(
    app: EndpointApp, registry: Registry, route: str, body: object, status: int, told: str
) -> None:
    found, answer, _ = post(app, route, body)
    assert found == status
    assert told in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]
    assert reasons(registry) == ["the first"]


def test_a_damaged_version_is_refused_and_the_champion_goes_on(
    app: EndpointApp, registry: Registry, folder: PipelineHome
) -> None:
    (folder.model("v2") / "model" / "constant.json").write_text("{")
    status, body, _ = post(app, "promote", {"version": "v2"})
    assert (status, "v2 was refused" in body["error"]["message"]) == (422, True)
    assert registry.alias("tiny", CHAMPION) == "v1"
    assert app.endpoint.versions.current.loaded.pointer.version == "v1"


def test_a_version_that_does_not_load_is_taken_back(
    folder: PipelineHome, released: Pointer, registry: Registry, make_app: Callable[..., EndpointApp]
) -> None:
    app = make_app(fails="v2")
    status, body, _ = post(app, "promote", {"version": "v2"})
    assert (status, body["error"]["message"]) == (422, "v2 was refused, and v1 goes on: out of coffee")
    pointer = read_pointer(folder.pointer)
    assert pointer is not None and pointer.version == registry.alias("tiny", CHAMPION) == "v1"
    app.endpoint.versions.poll()
    assert app.endpoint.versions.current.loaded.pointer == pointer


def test_a_registry_that_refuses_is_said(app: EndpointApp, folder: PipelineHome) -> None:
    (folder.root.parent / "raypipe.db").write_bytes(b"not a database, and longer than a header" * 40)
    status, body, _ = post(app, "promote", {"version": "v2"})
    assert status == 503
    assert "raypipe.db" in body["error"]["message"]


def test_looks_and_releases_take_turns_and_load_once(
    folder: PipelineHome, released: Pointer, make_app: Callable[..., EndpointApp]
) -> None:
    """The poll, a broadcast and a release meet while a version loads."""
    loads: list[str] = []
    app = make_app(loads=loads)
    pointer = write_tiny_version(folder, "v4", 9)
    write_pointer(folder.pointer, pointer)

    async def race() -> list[int]:
        return await asyncio.gather(*(app.look() for _ in range(5)))

    assert asyncio.run(race()) == [9] * 5
    assert loads == ["v1", "v4"]


@pytest.fixture
def make_app(
    folder: PipelineHome,
    registry: Registry,
    make_endpoint: Callable[..., Endpoint],
    operator: Operator,
) -> Callable[..., EndpointApp]:
    """Return a maker of applications whose versions are loaded under observation."""

    def make(fails: str = "", loads: list[str] | None = None) -> EndpointApp:
        def load(pointer: Pointer) -> LoadedVersion:
            if loads is not None:
                loads.append(pointer.version)
            if pointer.version == fails:
                raise RaypipeError("out of coffee")
            return load_version(folder, pointer)

        endpoint = make_endpoint()
        endpoint.versions = VersionHolder(folder.pointer, load, FakeClock())
        operator._follow = endpoint.versions.follow
        return EndpointApp(endpoint, operator)

    return make
