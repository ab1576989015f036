"""A request for predictions by the protocol, read for the version that answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from raypipe.serving.answers import Answers
from raypipe.serving.open_inference.message import InferRequest, read_message
from raypipe.serving.open_inference.outputs import Wanted, infer_reply, wanted
from raypipe.serving.open_inference.routes import Route, check_served
from raypipe.serving.open_inference.rows import read_rows
from raypipe.serving.open_inference.statistics import Timed
from raypipe.serving.reply import Reply
from raypipe.serving.request import ParsedRequest
from raypipe.serving.swap import LoadedVersion


@dataclass(frozen=True)
class Inference:
    """A request that is complete but not read."""

    model: str
    route: Route
    header_length: bytes | None
    body: bytes
    timed: Timed

    def read(self, served: LoadedVersion, max_rows: int) -> tuple[ParsedRequest, Callable[[Answers], Reply]]:
        """Return the rows, and what makes the reply of their answers; raises RefusedRequest."""
        check_served(self.route, self.model, served)
        request, data = read_message(self.body, self.header_length)
        asked = wanted(request, served.predictor.task)
        rows = read_rows(served.schema, request, data, max_rows)
        return rows, partial(self._reply, served, request, asked)

    def _reply(
        self, served: LoadedVersion, request: InferRequest, asked: Sequence[Wanted], answers: Answers
    ) -> Reply:
        reply = infer_reply(answers, served, self.model, request, asked)
        if reply.status == 200:
            self.timed.answered(served.pointer.version, len(answers.items))
        return reply
