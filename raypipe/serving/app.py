"""The endpoint over HTTP: a lean ASGI application with a few routes below the pipeline's name.

Beside the plain ones there are those of the Open Inference Protocol, below `v2`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from raypipe.core.errors import RaypipeError
from raypipe.serving.bodies import Bodies, Disconnected, Held, Message, Receive
from raypipe.serving.decision_link import ROUTE, Decisions
from raypipe.serving.endpoint import Asked, Endpoint, Keyed, Question
from raypipe.serving.gathering import MAX_TOGETHER, Gathering
from raypipe.serving.guards import Guards
from raypipe.serving.open_inference.protocol import OpenInference, in_protocol
from raypipe.serving.open_inference.routes import PATHS, is_protocol, route_of
from raypipe.serving.open_inference.statistics import Timed
from raypipe.serving.operator import Operator
from raypipe.serving.reply import Reply
from raypipe.serving.room import Room
from raypipe.serving.token import Guard

_log = logging.getLogger("raypipe.serving")

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
_T = TypeVar("_T")

FORM_TYPE = b"application/x-www-form-urlencoded"
_NO_REFERRER = (
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; form-action 'self'"),
)
JSON_TYPE, BYTES_TYPE = b"application/json", b"application/octet-stream"
BYTES_AN_OBJECT = 64
"""Bytes of tensors that take as much work as an object of JSON, about."""
MAX_INLINE_OBJECTS = MAX_TOGETHER
"""A body with more objects is answered in a thread, so that the loop stays free for others."""


class Door(Protocol):
    """Where requests come in beside HTTP."""

    async def open(self) -> None:
        """Begin to answer, on the loop of whoever calls."""
        ...

    async def close(self) -> None:
        """Answer what has come, and nothing more."""
        ...


class TimedQuestion(Question, Protocol):
    """An inference by the protocol."""

    @property
    def timed(self) -> Timed: ...


class EndpointApp:
    """Serves an endpoint; `lifespan.startup` starts watching the pointer, `lifespan.shutdown` ends it.

    With `users`, whoever wants predictions, the columns, or to send labels must pass that guard, and whoever
    wants the status the operator's. `/health` is for all. `refusal_delay_s` says how long the next refusal
    for want of room waits.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        operator: Operator,
        users: Guard | None = None,
        *,
        refusal_delay_s: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._refusal_delay_s = refusal_delay_s
        self._prefix = f"/{endpoint.name}/"
        settings = endpoint.settings
        self._max_body_bytes = settings.max_body_bytes
        self._bodies = Bodies(settings.max_body_bytes, settings.body_timeout_s, endpoint.refuse)
        self._room = Room(settings.max_ongoing_requests, settings.max_sustained_requests)
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batch")
        # Whatever moves versions takes its turn here, so that none is loaded twice.
        self._moves = ThreadPoolExecutor(1, thread_name_prefix="versions")
        self._gathering = Gathering(self._answer_all)
        self._posts = {"predict": self._predict, "feedback": self._feedback}
        self._releases = {"promote": operator.promote, "rollback": operator.rollback}
        self._decisions = operator.decisions
        self._protocol = OpenInference(endpoint)
        self._guards = Guards(operator.guard, users, endpoint.refuse)
        self._gets = {
            "status": endpoint.status,
            "health": endpoint.health,
            "openapi.json": endpoint.openapi,
        }
        self._watcher: asyncio.Task[None] | None = None
        self._doors: list[Door] = []

    @property
    def endpoint(self) -> Endpoint:
        """What answers."""
        return self._endpoint

    @property
    def prefix(self) -> str:
        """What the paths of all routes begin with."""
        return self._prefix

    @property
    def n_in_progress(self) -> int:
        """Requests for predictions or with labels that are not answered yet."""
        return self._room.n_in_progress

    @property
    def protocol(self) -> OpenInference:
        """What answers by the Open Inference Protocol."""
        return self._protocol

    def open_beside(self, door: Door) -> None:
        """Let requests come in by another door too, as long as the application runs."""
        self._doors.append(door)

    def stopped(self, route: str, authorization: bytes | None) -> Reply | None:
        """Return the refusal of whoever may not ask what a route answers; None where they may."""
        return self._guards.stopped(route, {} if authorization is None else {b"authorization": authorization})

    def holding(self, n_bytes: int) -> AbstractContextManager[Reply | None]:
        """Hold a body for as long as it takes to answer it, or give the refusal of one too many."""
        return self._bodies.holding(n_bytes)

    async def look(self) -> int:
        """Look at the pointer, follow it off the loop, and return the epoch that answers then."""
        versions = self._endpoint.versions
        await asyncio.get_running_loop().run_in_executor(self._moves, versions.poll)
        return versions.current.loaded.pointer.epoch

    async def ask(self, route: str, body: bytes) -> Reply:
        """Answer a body that came without HTTP, by a loop of any thread; no token is asked for.

        `route` is predict or feedback. Whoever calls bounds how many come at once.
        """
        if len(body) > self._max_body_bytes:
            return await self._bodies.too_large()
        answer = {"predict": self._endpoint.predict, "feedback": self._endpoint.feedback}[route]
        if body.count(b"{") <= MAX_INLINE_OBJECTS:
            return self._answer(answer, body)
        return await self._in_thread(answer, body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the application's lifespan."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(scope, receive)
        except Disconnected:
            return
        headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
        await send(
            {"type": "http.response.start", "status": reply.status, "headers": [*headers, *reply.headers]}
        )
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path, method = scope["path"], scope["method"]
        route = path.removeprefix(self._prefix) if path.startswith(self._prefix) else ""
        if is_protocol(route):
            reply = await self._by_protocol(route, method, dict(scope["headers"]), receive)
            return in_protocol(reply)
        if route in self._posts or route in self._releases:
            if method != "POST":
                return self._wrong_method(method, b"POST")
            headers = dict(scope["headers"])
            return await self._post(route, headers, receive, self._plain(route, headers))
        if route in self._gets or route == "docs":
            if method not in ("GET", "HEAD"):
                return self._wrong_method(method, b"GET, HEAD")
            headers = dict(scope["headers"])
            return self._guards.stopped(route, headers) or self._get(route, headers)
        if route == ROUTE and self._decisions is not None:
            return await self._decide(scope, receive, self._decisions)
        known_routes = (*self._posts, *self._releases, *self._gets, "docs", "v2")
        routes = ", ".join(f"{self._prefix}{known}" for known in known_routes)
        return self._endpoint.refuse(404, f"no such path; there are {routes}.")

    async def _by_protocol(
        self, path: str, method: str, headers: dict[bytes, bytes], receive: Receive
    ) -> Reply:
        route = route_of(path)
        if route is None:
            return self._endpoint.refuse(
                404, f"no such path below {self._prefix}; there are {', '.join(PATHS)}."
            )
        if method not in route.methods:
            return self._wrong_method(method, ", ".join(route.methods).encode())
        if method != "POST":
            return self._guards.stopped(route.guarded_like, headers) or self._protocol.describe(route)

        async def answer(body: bytes) -> Reply:
            if route.kind == "infer":
                return await self.infer(partial(self._protocol.inference, route, headers), body)
            return self._protocol.describe(route)

        return await self._post(route.guarded_like, headers, receive, answer, (JSON_TYPE, BYTES_TYPE))

    async def infer(self, read: Callable[[bytes], TimedQuestion], body: bytes) -> Reply:
        """Answer an inference by the protocol, in whichever form it came; where too many wait, refuse it."""
        return await self._bounded(partial(self._infer, read), body)

    async def _infer(self, read: Callable[[bytes], TimedQuestion], body: bytes) -> Reply:
        inference = read(body)
        reply = await self._answered(inference, 1 + len(body) // BYTES_AN_OBJECT)
        return self._protocol.counted(inference.timed, reply)

    def _get(self, route: str, headers: dict[bytes, bytes]) -> Reply:
        if route == "docs":
            return self._endpoint.docs(headers.get(b"host", b"").decode("latin-1"))
        return self._gets[route]()

    def _plain(self, route: str, headers: dict[bytes, bytes]) -> Callable[[bytes], Awaitable[Reply]]:
        if route in self._releases:
            return partial(self._release, route)
        key = self._endpoint.key_of(headers) if route == "predict" else None
        return partial(self._bounded, self._posts[route] if key is None else partial(self._predict, key=key))

    async def _post(
        self,
        route: str,
        headers: dict[bytes, bytes],
        receive: Receive,
        answer: Callable[[bytes], Awaitable[Reply]],
        types: tuple[bytes, ...] = (JSON_TYPE,),
    ) -> Reply:
        """Answer a body of one of some types, read for whoever may ask by `route`."""
        refusal = self._guards.stopped(route, headers) or self._wrong_type(headers, types)
        if refusal is not None:
            await self._bodies.drain(receive)
            return refusal
        full = None if route in self._releases else self._room.refusal()
        if full is not None:
            await self._bodies.drain(receive)
            return await self._full(full)
        held = Held()
        try:
            body = await self._bodies.read(headers, receive, held)
            if isinstance(body, Reply) or route not in self._posts:
                return body if isinstance(body, Reply) else await answer(body)
            return await self._used(answer, body, headers.get(b"user-agent", b""))
        finally:
            self._bodies.let_go(held)

    async def _used(self, answer: Callable[[bytes], Awaitable[Reply]], body: bytes, caller: bytes) -> Reply:
        usage, began = self._endpoint.usage, time.perf_counter()
        usage.begins(len(body), caller)
        try:
            return await answer(body)
        finally:
            usage.ends(time.perf_counter() - began)

    def _wrong_type(self, headers: dict[bytes, bytes], types: tuple[bytes, ...]) -> Reply | None:
        kind = headers.get(b"content-type", JSON_TYPE).split(b";")[0].strip().lower()
        if kind in types and headers.get(b"content-encoding", b"identity") == b"identity":
            return None
        allowed = b" or ".join(types).decode()
        return self._endpoint.refuse(
            415, f"the content type must be {allowed}, not compressed: send that header with the body."
        )

    async def _decide(self, scope: Scope, receive: Receive, decisions: Decisions) -> Reply:
        """Show what a signed link asks, or keep the answer; whoever has the link may."""
        query, method = scope["query_string"], scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            return self._wrong_method(method, b"GET, HEAD, POST")
        in_thread = asyncio.get_running_loop().run_in_executor
        try:
            if method != "POST":
                page = await in_thread(self._moves, decisions.page, query)
                return Reply(200, page, b"text/html; charset=utf-8", _NO_REFERRER)

            async def answer(body: bytes) -> Reply:
                kept = await in_thread(self._moves, decisions.answer, query, body)
                return Reply(200, json.dumps(kept).encode())

            headers = dict(scope["headers"])
            return await self._post(ROUTE, headers, receive, answer, (FORM_TYPE,))
        except RaypipeError as error:
            return self._guards.refused(error)

    async def _release(self, route: str, body: bytes) -> Reply:
        asked = partial(self._releases[route], body)
        try:
            release = await asyncio.get_running_loop().run_in_executor(self._moves, asked)
            return Reply(200, json.dumps(release.to_json()).encode())
        except RaypipeError as error:
            return self._guards.refused(error)
        except Exception as error:  # noqa: BLE001 - a broken release must not cost more than this answer
            _log.exception("a release failed")
            return self._endpoint.refuse(500, f"the release failed: {type(error).__name__}: {error}")

    async def _bounded(self, answer: Callable[[bytes], Awaitable[Reply]], body: bytes) -> Reply:
        """Answer, or refuse where as many requests as may wait for an answer do so already."""
        full = self._room.refusal()
        if full is not None:
            return await self._full(full)
        with self._room:
            return await answer(body)

    async def _full(self, why: str) -> Reply:
        """Refuse after a part of a second, different for each.

        Retry-After counts whole seconds: those that were refused together would come back together. And who
        asks again at once would cost as much as those that are answered.
        """
        await asyncio.sleep(self._refusal_delay_s())
        return self._bodies.too_busy(why)

    async def _predict(self, body: bytes, key: str | None = None) -> Reply:
        return await self._answered(body if key is None else Keyed(body, key), body.count(b"{"))

    async def _answered(self, asked: Asked, n_objects: int) -> Reply:
        if n_objects <= MAX_INLINE_OBJECTS:
            return await self._gathering.ask(asked, n_objects)
        return await self._in_thread(self._endpoint.predict, asked)

    async def _feedback(self, body: bytes) -> Reply:
        if body.count(b"{") <= MAX_INLINE_OBJECTS:
            return self._answer(self._endpoint.feedback, body)
        return await self._in_thread(self._endpoint.feedback, body)

    async def _in_thread(self, answer: Callable[[_T], Reply], asked: _T) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(
            self._batches, partial(self._answer, answer, asked)
        )

    def _answer_all(self, asked: Sequence[Asked]) -> Sequence[Reply]:
        """Answer requests by one call of the model, or one by one where that fails."""
        if len(asked) > 1:
            with suppress(Exception):  # Whichever is to blame is told so by itself.
                return self._endpoint.predict_all(asked)
        return [self._answer(self._endpoint.predict, one) for one in asked]

    def _answer(self, answer: Callable[[_T], Reply], asked: _T) -> Reply:
        try:
            return answer(asked)
        except Exception as error:  # noqa: BLE001 - a broken model must not cost more than this answer
            _log.exception("a request could not be answered")
            return self._endpoint.refuse(500, f"the model failed: {type(error).__name__}: {error}")

    def _wrong_method(self, method: str, allowed: bytes) -> Reply:
        message = f"this path answers {allowed.decode()}. Got {method}."
        return self._endpoint.refuse(405, message, ((b"allow", allowed),))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._watcher = asyncio.create_task(self._watch())
                for door in self._doors:
                    await door.open()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        """Look at the pointer again and again."""
        while True:
            await asyncio.sleep(self._endpoint.settings.poll_interval_s)
            await self.look()

    async def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        for door in self._doors:
            await door.close()
        self._batches.shutdown()
        self._moves.shutdown()
        self._endpoint.close()
