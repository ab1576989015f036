"""`raypipe.EndpointHandle`: an endpoint asked from the tasks and actors of its cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import msgspec

from raypipe.core.errors import ServingError
from raypipe.core.ids import Json
from raypipe.serving.living_loop import LivingLoop


class EndpointHandle:
    """Asks an endpoint from any process of its cluster, without HTTP and its token.

    Rows are checked, answered and captured as those that come by HTTP, and the answer is the same. A handle
    travels to tasks and actors as its name alone. Ray must be initialised where it is asked.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._loop = LivingLoop("endpoint-handle")

    def __reduce__(self) -> tuple[type[EndpointHandle], tuple[str]]:
        return EndpointHandle, (self._pipeline,)

    def predict(
        self, rows: Sequence[Mapping[str, Json]], ids: Sequence[str] | None = None, *, timeout_s: float = 30.0
    ) -> Mapping[str, Json]:
        """Return what the endpoint answers: `version`, and in `predictions` an item for each row.

        Not to be called on an event loop, which it would stop: await `predict_async` there. Raises
        ServingError where the request is refused as a whole, or not answered in time.
        """
        return self._answered(self._begin("predict", _request(rows, ids)), timeout_s)

    async def predict_async(
        self, rows: Sequence[Mapping[str, Json]], ids: Sequence[str] | None = None, *, timeout_s: float = 30.0
    ) -> Mapping[str, Json]:
        """Do what `predict` does without stopping the event loop."""
        asked = asyncio.wrap_future(self._begin("predict", _request(rows, ids)))
        try:
            return told(*await asyncio.wait_for(asked, timeout_s))
        except TimeoutError as error:
            raise self._too_late(timeout_s) from error

    def feedback(
        self, labels: Sequence[Mapping[str, Json]], *, timeout_s: float = 30.0
    ) -> Mapping[str, Json]:
        """Send labels such as {"id": ..., "label": ...}, and return how many were accepted, with errors."""
        body = msgspec.json.encode({"labels": list(labels)})
        return self._answered(self._begin("feedback", body), timeout_s)

    def _begin(self, route: str, body: bytes) -> Future[tuple[int, bytes]]:
        from raypipe.serving.on_ray import ask_replica

        return self._loop.begin(ask_replica(self._pipeline, route, body))

    def _answered(self, asked: Future[tuple[int, bytes]], timeout_s: float) -> Mapping[str, Json]:
        try:
            return told(*asked.result(timeout_s))
        except TimeoutError as error:
            asked.cancel()
            raise self._too_late(timeout_s) from error

    def _too_late(self, timeout_s: float) -> ServingError:
        return ServingError(f"the endpoint {self._pipeline} did not answer within {timeout_s:g} seconds.")


def told(status: int, reply: bytes) -> Mapping[str, Json]:
    """Return the body of an answer; one in which every item failed still tells each item's error.

    Raises ServingError for a refusal.
    """
    body: Json = json.loads(reply)
    match body:
        case {"error": {"message": str(message)}}:
            raise ServingError(f"the endpoint refused the request: {message}")
        case Mapping() if status in (200, 422):
            return body
        case other:
            raise ServingError(f"the endpoint answered {status}: {str(other)[:200]}")


def _request(rows: Sequence[Mapping[str, Json]], ids: Sequence[str] | None) -> bytes:
    named = {} if ids is None else {"ids": list(ids)}
    return msgspec.json.encode({"rows": list(rows), **named})
