"""The service's methods: who may ask, what is asked, and with which status it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from raypipe.serving.app import EndpointApp
from raypipe.serving.bodies import RETRY_AFTER_S
from raypipe.serving.open_inference.routes import Kind, NotServed, Route
from raypipe.serving.open_inference.rpc.inference import RpcInference
from raypipe.serving.open_inference.rpc.messages import METHODS, SERVICE, Message
from raypipe.serving.reply import Reply
from raypipe.serving.request import RefusedRequest

MAX_TOLD = 1_000
"""Characters of a refusal: it travels in a header, of which most clients take 8 kB."""
_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_KINDS: Mapping[str, Kind] = {
    "ServerLive": "live",
    "ServerReady": "ready",
    "ModelReady": "model ready",
    "ServerMetadata": "server",
    "ModelMetadata": "model",
    "ModelConfig": "config",
    "ModelStatistics": "stats",
    "RepositoryIndex": "index",
    "ModelInfer": "infer",
}
Context = Any
"""What grpc knows of a call."""


def code_of(status: int) -> grpc.StatusCode:
    """Return the status of gRPC that says what a status of HTTP says."""
    return _CODES.get(status, grpc.StatusCode.INTERNAL)


@dataclass(frozen=True)
class Service:
    """Answers calls for one endpoint."""

    app: EndpointApp

    def handler(self) -> Any:
        """Return the handler of all methods, for a server of grpc's.

        A call is handled as a stream of one message, which is the same on the wire: so that whoever may not
        ask is refused before a message is read.
        """
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {name: grpc.stream_unary_rpc_method_handler(partial(self._call, name)) for name in METHODS},
        )

    async def _call(self, name: str, _: object, context: Context) -> bytes:
        reply = self._stopped(name, context) or await self._replied(name, context)
        if reply.status == 200:
            return reply.body
        if reply.status == 429:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", f"{1000 * RETRY_AFTER_S}"),))
        message = str(msgspec.json.decode(reply.body)["error"]["message"])
        await context.abort(code_of(reply.status), message[:MAX_TOLD])
        raise AssertionError("abort always raises")

    def _stopped(self, name: str, context: Context) -> Reply | None:
        shown = [value for key, value in context.invocation_metadata() if key == "authorization"]
        route = Route(_KINDS[name]).guarded_like
        return self.app.stopped(route, str(shown[0]).encode() if shown else None)

    async def _replied(self, name: str, context: Context) -> Reply:
        body = await self._message(context)
        if isinstance(body, Reply):
            return body
        answer: Callable[[bytes], Awaitable[Reply]] = partial(self._described, name)
        if name == "ModelInfer":
            answer = self._inferred
        with self.app.holding(len(body)) as refused:
            return refused or await answer(body)

    async def _message(self, context: Context) -> bytes | Reply:
        """Return the call's message; grpc has refused one that is too large."""
        timeout_s = self.app.endpoint.settings.body_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                message = await context.read()
        except TimeoutError:
            return self._refuse(
                408, f"a message must come within {timeout_s:g} seconds (serving.body_timeout_s)."
            )
        if isinstance(message, bytes):
            return message
        return self._refuse(400, "a call must have one message. Got none.")

    async def _inferred(self, body: bytes) -> Reply:
        def read(body: bytes) -> RpcInference:
            return RpcInference(self.app.endpoint.name, body, self.app.protocol.timed())

        return await self.app.infer(read, body)

    async def _described(self, name: str, body: bytes) -> Reply:
        method = METHODS[name]
        try:
            found = self._found(name, method.parse(body))
        except DecodeError:
            return self._refuse(400, f"the message must be a {name}Request; these bytes are none.")
        except RefusedRequest as error:
            return self._refuse(error.status, str(error))
        response = ParseDict(found, method.response(), ignore_unknown_fields=True)
        return Reply(200, response.SerializeToString(), b"application/grpc")

    def _found(self, name: str, asked: Message) -> Any:
        """Return what the same path of HTTP answers, in the form of a message."""
        kind = _KINDS[name]
        route = Route(kind)
        if name.startswith("Model"):
            route = Route(kind, asked.name or None, asked.version or None)
        if kind == "model ready":
            try:
                return self.app.protocol.described(route)
            except NotServed:
                return {"ready": False}
        found = self.app.protocol.described(route)
        if kind == "config":
            return {"config": found}
        return {"models": found} if kind == "index" else found

    def _refuse(self, status: int, message: str) -> Reply:
        return self.app.endpoint.refuse(status, message)
