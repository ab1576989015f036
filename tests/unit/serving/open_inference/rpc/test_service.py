"""The service as a client sees it, over a socket, in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from raypipe.core.errors import ServingError
from raypipe.core.home import Home, PipelineHome
from raypipe.serving.app import EndpointApp
from raypipe.serving.bodies import MAX_HELD_BODIES
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.open_inference.rpc import server
from raypipe.serving.open_inference.rpc.address import address, answers
from raypipe.serving.open_inference.rpc.messages import METHODS, SERVICE
from raypipe.serving.open_inference.rpc.server import RpcDoor
from raypipe.serving.open_inference.rpc.service import Service
from raypipe.serving.operator import Operator
from raypipe.serving.token import Guard, keep_token
from raypipe.testing import FakeClock
from tests.unit.serving.conftest import TOKEN as OPERATOR_TOKEN
from tests.unit.serving.open_inference.bodies import ROWS
from tests.unit.serving.open_inference.rpc.calls import raw, typed

TOKEN = "t" * 64
Call = Callable[..., Awaitable[Any]]
Code = grpc.StatusCode


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def serve(
    make_endpoint: Callable[..., Endpoint],
    operator: Operator,
    folder: PipelineHome,
    clock: FakeClock,
    port: int,
) -> Callable[..., Any]:
    """Return what runs a conversation with an endpoint: a function of a client's call and the application."""

    def run(
        talk: Callable[[Call, EndpointApp], Awaitable[Any]], guarded: bool = False, **settings: Any
    ) -> Any:
        token = Home(folder.root.parent).serving_token
        keep_token(token, TOKEN)
        users = Guard(token, clock, "this endpoint asks for a token") if guarded else None
        app = EndpointApp(make_endpoint(grpc_port=port, **settings), operator, users)

        async def inner() -> Any:
            door = RpcDoor(app)
            await door.open()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    return await talk(caller(channel), app)
            finally:
                await door.close()

        return asyncio.run(inner())

    return run


def caller(channel: grpc.aio.Channel) -> Call:
    async def call(
        name: str, request: Any = None, token: str | None = None, **options: Any
    ) -> tuple[grpc.StatusCode, Any]:
        method = METHODS.get(name)
        request = b"" if request is None else request
        body = request if isinstance(request, bytes) else request.SerializeToString()
        shown = (("authorization", f"Bearer {token}"),) if token else None
        try:
            reply = await channel.unary_unary(f"/{SERVICE}/{name}")(body, metadata=shown, **options)
        except grpc.aio.AioRpcError as error:
            assert error.details(), "every refusal has its sentence"
            return error.code(), error
        assert method is not None
        return Code.OK, method.response.FromString(reply)

    return call


def test_everything_is_described(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        await call("ModelInfer", typed())
        await call("ModelInfer", b"\xff")
        return {name: (await call(name))[1] for name in METHODS if name != "ModelInfer"}

    found = serve(talk)
    assert (found["ServerLive"].live, found["ServerReady"].ready, found["ModelReady"].ready) == (True,) * 3
    assert found["ServerMetadata"].name == "raypipe"
    metadata, config = found["ModelMetadata"], found["ModelConfig"].config
    inputs = [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs]
    assert inputs[:2] == [("amount", "FP64", [-1, 1]), ("size", "INT64", [-1, 1])]
    assert list(metadata.versions) == ["v1"]
    assert (config.max_batch_size, [one.name for one in config.input]) == (10_000, [one[0] for one in inputs])
    assert [(one.data_type, list(one.dims)) for one in config.output] == [(13, [1]), (12, [2])]
    [stats] = found["ModelStatistics"].model_stats
    assert (stats.inference_count, stats.inference_stats.success.count) == (len(ROWS), 1)
    assert stats.inference_stats.fail.count == 1
    [index] = found["RepositoryIndex"].models
    assert (index.name, index.version, index.state) == ("tiny", "v1", "READY")


def test_a_model_or_version_that_does_not_serve(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        names: list[tuple[Any, ...]] = []
        for asked in ({"name": "tiny"}, {"name": "tiny", "version": "v1"}, {"name": "tiny", "version": "v2"}):
            ready = await call("ModelReady", METHODS["ModelReady"].request(**asked))
            config = await call("ModelConfig", METHODS["ModelConfig"].request(**asked))
            names.append((ready[1].ready, config[0]))
        other = await call("ModelReady", METHODS["ModelReady"].request(name="other"))
        return names, other[1].ready

    assert serve(talk) == ([(True, Code.OK), (True, Code.OK), (False, Code.NOT_FOUND)], False)


def test_who_may(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        return {
            token: {
                name: (await call(name, raw() if name == "ModelInfer" else None, token))[0]
                for name in METHODS
            }
            for token in (None, "x" * 64, TOKEN, OPERATOR_TOKEN)
        }

    found = serve(talk, guarded=True)
    free = {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata"}
    for token, allowed in (
        (None, free),
        ("x" * 64, free),
        (TOKEN, METHODS.keys() - {"ModelStatistics"}),
        (OPERATOR_TOKEN, free | {"ModelStatistics"}),
    ):
        passed = {name for name, code in found[token].items() if code is Code.OK}
        assert passed == allowed
        assert set(found[token].values()) <= {Code.OK, Code.UNAUTHENTICATED}


def test_whoever_may_not_is_refused_before_the_message_is_read(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        return await call("ModelInfer", b"\0" * 3000)

    code, error = serve(talk, guarded=True, max_body_bytes=2048)
    assert code is Code.UNAUTHENTICATED
    assert "send the header `authorization: Bearer TOKEN`" in error.details()


def test_bounds(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        large = await call("ModelInfer", b"\0" * 3000)
        many = await call("ModelInfer", raw(ROWS[:2] * 2))
        with app.holding(MAX_HELD_BODIES * 2048):
            held = await call("ModelInfer", raw(ROWS[:1]))
        fits = await call("ModelInfer", raw(ROWS[:1]))
        return large, many, held, fits

    large, many, held, fits = serve(talk, max_body_bytes=2048, max_rows=2)
    assert large[0] is many[0] is held[0] is Code.RESOURCE_EXHAUSTED
    assert "serving.max_rows" in many[1].details()
    assert ("grpc-retry-pushback-ms", "1000") in tuple(held[1].trailing_metadata())
    assert "too many large bodies" in held[1].details()
    assert fits[0] is Code.OK


def test_more_at_once_than_may_be(serve: Callable[..., Any]) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        return await asyncio.gather(*(call("ModelInfer", raw(ROWS[:1])) for _ in range(20)))

    codes = {code for code, _ in serve(talk, max_ongoing_requests=1)}
    assert codes == {Code.OK, Code.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize(
    ("name", "body", "options", "code"),
    [
        ("ModelInfer", b"\xff" * 9, {}, Code.INVALID_ARGUMENT),
        ("ModelInfer", b"", {}, Code.INVALID_ARGUMENT),
        ("ModelMetadata", b"\xff" * 9, {}, Code.INVALID_ARGUMENT),
        ("ModelInfer", raw(ROWS[:1], size="FP32").SerializeToString()[:-1], {}, Code.INVALID_ARGUMENT),
        ("ModelInfer", raw(), {"compression": grpc.Compression.Gzip}, Code.UNIMPLEMENTED),
        ("RepositoryModelLoad", b"", {}, Code.UNIMPLEMENTED),
    ],
)
def test_refusals(
    serve: Callable[..., Any], name: str, body: Any, options: Any, code: grpc.StatusCode
) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        refused = await call(name, body, **options)
        return refused[0], (await call("ModelInfer", raw()))[0]

    assert serve(talk) == (code, Code.OK)


def test_a_message_that_does_not_come(serve: Callable[..., Any], port: int) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            silent = channel.stream_unary(f"/{SERVICE}/ModelInfer")()
            slow = await silent.code(), await silent.details()
            none = channel.stream_unary(f"/{SERVICE}/ModelInfer")()
            await none.done_writing()
            return slow, (await none.code(), await none.details())

    slow, none = serve(talk, body_timeout_s=0.05)
    assert slow == (
        Code.DEADLINE_EXCEEDED,
        "a message must come within 0.05 seconds (serving.body_timeout_s).",
    )
    assert none == (Code.INVALID_ARGUMENT, "a call must have one message. Got none.")


def test_a_model_that_fails_is_told_and_costs_nothing_more(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(call: Call, app: EndpointApp) -> Any:
        def fail(_: object) -> object:
            raise RuntimeError("boom")

        with monkeypatch.context() as patch:
            patch.setattr(app.endpoint, "predict_all", fail)
            broken = await call("ModelInfer", raw())
        return broken[0], broken[1].details(), (await call("ModelInfer", raw()))[0]

    assert serve(talk) == (Code.INTERNAL, "the model failed: RuntimeError: boom", Code.OK)


def test_connections_are_replaced_and_no_call_fails(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTION_AGE_S", 0.05)
    peers: set[str] = set()
    message = Service._message

    async def seen(self: Service, context: Any) -> Any:
        peers.add(context.peer())
        return await message(self, context)

    monkeypatch.setattr(Service, "_message", seen)

    async def talk(call: Call, app: EndpointApp) -> Any:
        codes: set[grpc.StatusCode] = set()
        async with asyncio.timeout(30):
            while len(peers) < 4:
                codes.add((await call("ModelInfer", raw()))[0])
        return codes

    assert serve(talk) == {Code.OK}


def test_calls_in_progress_are_answered_when_the_door_closes(
    make_endpoint: Callable[..., Endpoint], operator: Operator, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inner() -> Any:
        app = EndpointApp(make_endpoint(grpc_port=port), operator)
        infer, began = app.infer, asyncio.Event()

        async def slow(*asked: Any) -> Any:
            began.set()
            await asyncio.sleep(0.1)
            return await infer(*asked)

        monkeypatch.setattr(app, "infer", slow)
        door = RpcDoor(app)
        await door.open()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = caller(channel)
            asked = asyncio.create_task(call("ModelInfer", raw()))
            await began.wait()
            await door.close()
            return (await asked)[0], (await call("ServerLive"))[0]

    assert asyncio.run(inner()) == (Code.OK, Code.UNAVAILABLE)


def test_replicas_share_the_port_and_others_are_told(
    make_endpoint: Callable[..., Endpoint], operator: Operator, port: int
) -> None:
    settings = ServingSettings(grpc_port=port)
    assert not answers(settings, "tiny")

    async def inner() -> Any:
        doors = [RpcDoor(EndpointApp(make_endpoint(grpc_port=port), operator)) for _ in range(2)]
        for door in doors:
            await door.open()
        asked = [await asyncio.to_thread(answers, settings, name) for name in ("tiny", "other")]
        for door in doors:
            await door.close()
        return asked

    assert asyncio.run(inner()) == [True, False]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServingError, match=rf"serving\.grpc_port {port} on 127\.0\.0\.1 cannot be used"),
    ):
        RpcDoor(EndpointApp(make_endpoint(grpc_port=port), operator))


def test_where_it_listens() -> None:
    assert address(ServingSettings(grpc_port=9)) == "127.0.0.1:9"
    assert address(ServingSettings(grpc_port=9, host="::1")) == "[::1]:9"
    with pytest.raises(ValueError, match=r"grpc_port must differ from port\. Got 9 for both"):
        ServingSettings(port=9, grpc_port=9)
