"""What an endpoint answers, without HTTP: bodies in, replies out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol, TypeAlias

import msgspec

from raypipe.core.clock import Clock
from raypipe.core.errors import StorageError
from raypipe.core.ids import Json
from raypipe.serving.answers import Answers, answer, iterate
from raypipe.serving.canary import Asking, answer_split
from raypipe.serving.capture import Capture, CaptureState
from raypipe.serving.config import ServingSettings
from raypipe.serving.feedback import Label, RejectedLabel, parse_feedback
from raypipe.serving.golden import Timer
from raypipe.serving.openapi import docs_page, openapi
from raypipe.serving.reply import Reply, refusal
from raypipe.serving.request import ParsedRequest, RefusedRequest, RowError
from raypipe.serving.swap import LoadedVersion, VersionHolder
from raypipe.serving.usage import Usage

_encode = msgspec.json.Encoder().encode


MakeReply: TypeAlias = "Callable[[Answers], Reply]"


class Question(Protocol):
    """A request for predictions in a form of its own."""

    def read(self, served: LoadedVersion, max_rows: int) -> tuple[ParsedRequest, MakeReply]:
        """Return the rows, and what makes the reply of their answers; raises RefusedRequest.

        Of a request whose reply is not 200, nothing is kept.
        """
        ...


@dataclass(frozen=True)
class Keyed:
    """A body of the plain form that came with the header by which a canary is chosen."""

    body: bytes
    key: str


Asked: TypeAlias = "bytes | Keyed | Question"
"""A body of the plain form, or a question in another, which a canary takes no part in."""


@dataclass
class Counters:
    """What a replica did since it started; safe to add to from several threads."""

    n_requests: int = 0
    n_rows: int = 0
    n_failed_rows: int = 0
    n_refused_requests: int = 0
    n_labels: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(
        self, requests: int = 1, *, rows: int = 0, failed_rows: int = 0, refused: int = 0, labels: int = 0
    ) -> None:
        """Count one request, or several."""
        with self._lock:
            self.n_requests += requests
            self.n_rows += rows
            self.n_failed_rows += failed_rows
            self.n_refused_requests += refused
            self.n_labels += labels

    def to_json(self) -> dict[str, Json]:
        return {name: value for name, value in vars(self).items() if name.startswith("n_")}


class Endpoint:
    """Answers for one pipeline in one replica.

    `replica` names the replica and its start uniquely; ids of predictions begin with it. `monitored` returns
    what the controller measured last, for the status.
    """

    def __init__(
        self,
        name: str,
        settings: ServingSettings,
        *,
        versions: VersionHolder,
        capture: Capture,
        clock: Clock,
        replica: str,
        spec_id: str = "",
        timer: Timer = time.perf_counter,
        monitored: Callable[[], Json] = lambda: None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.versions = versions
        self._capture = capture
        self._clock = clock
        self._replica = replica
        self._spec_id = spec_id
        self._timer = timer
        self._monitored = monitored
        self.usage = Usage()
        self._counters = Counters()
        self._numbers = count()
        self._started_at = clock.now()

    @property
    def counters(self) -> Counters:
        """What was done since the start."""
        return self._counters

    @property
    def capture_state(self) -> CaptureState:
        """What was kept since the start."""
        return self._capture.state()

    def predict(self, asked: Asked) -> Reply:
        """Answer the rows of a request; rows that fail are answered with their errors."""
        return self.predict_all((asked,))[0]

    def predict_all(self, asked: Sequence[Asked]) -> Sequence[Reply]:
        """Answer several requests by one version, one call of its model, and one append to the log."""
        current = self.versions.current
        served = current.loaded
        read = [self._read(served, one) for one in asked]
        requests = [one for one in read if not isinstance(one, Reply)]
        ids = [self._ids(request) for request, _ in requests]
        if current.canary is None:
            rows = [row for request, _ in requests for row in request.rows if not isinstance(row, RowError)]
            given = iterate(served.predictor.predict_rows(rows)) if rows else iter(())
        else:
            answered = [one for one, to in zip(asked, read, strict=True) if not isinstance(to, Reply)]
            for_both = _for_both(answered, [request for request, _ in requests], ids)
            given = answer_split(served.predictor, current.canary, for_both, self._timer)
        answers = [
            answer(request, given, its, served.class_names)
            for (request, _), its in zip(requests, ids, strict=True)
        ]
        replies = [make(one) for (_, make), one in zip(requests, answers, strict=True)]
        self._keep(answers, replies, served.pointer.version)
        in_turn = iter(replies)
        return [one if isinstance(one, Reply) else next(in_turn) for one in read]

    def key_of(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Return the value of the header by which a canary is chosen; None without either."""
        canary = self.versions.current.canary
        if canary is None or canary.terms.header is None:
            return None
        value = headers.get(canary.terms.header.lower().encode())
        return None if value is None else value.decode("latin-1")

    def feedback(self, body: bytes) -> Reply:
        """Keep labels by prediction id; what cannot be kept is not acknowledged."""
        task = self.versions.current.loaded.predictor.task
        try:
            items = parse_feedback(body, task, self.settings.max_rows)
        except RefusedRequest as error:
            return self.refuse(error.status, str(error))
        labels = [item for item in items if isinstance(item, Label)]
        try:
            self._capture.labels(labels, self._clock.now())
        except StorageError as error:
            return self.refuse(503, f"the labels were not kept, send them again later: {error}")
        self._counters.add(labels=len(labels))
        errors = [_label_error(n, item) for n, item in enumerate(items) if isinstance(item, RejectedLabel)]
        return Reply(200 if labels else 422, _encode({"accepted": len(labels), "errors": errors}))

    def status(self) -> Reply:
        """Tell which version answers, what was done, and what went wrong."""
        served, refusal = self.versions.current, self.versions.refusal
        pointer = served.loaded.pointer
        state: dict[str, Json] = {
            "pipeline": self.name,
            "version": pointer.version,
            "manifest_sha256": pointer.manifest_sha256,
            "epoch": pointer.epoch,
            "since": served.since.isoformat(),
            "replica": self._replica,
            "started_at": self._started_at.isoformat(),
            "spec": self._spec_id,
            **self._counters.to_json(),
            "usage": self.usage.to_json(),
            "capture": self._capture.state().to_json(),
            "canary": None if served.canary is None else served.canary.to_json(),
            "refused": None if refusal is None else refusal.to_json(),
            "monitoring": self._monitored(),
        }
        return Reply(200, _encode(state))

    def health(self) -> Reply:
        """Say that requests are answered."""
        return Reply(200, _encode({"status": "ok", "version": self.versions.current.loaded.pointer.version}))

    def openapi(self) -> Reply:
        """Describe the endpoint as OpenAPI 3.1."""
        return Reply(200, _encode(openapi(self.name, self.versions.current.loaded, self.settings)))

    def docs(self, host: str) -> Reply:
        """Describe the endpoint for a person; the page loads nothing from elsewhere."""
        page = docs_page(self.name, self.versions.current.loaded, host, self.settings)
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
        return Reply(200, page.encode(), b"text/html; charset=utf-8", (policy,))

    def refuse(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
        """Refuse a request as a whole with one sentence."""
        self._counters.add(refused=1)
        return refusal(status, message, headers)

    def close(self) -> None:
        """Give what was captured to the disk."""
        self._capture.close()

    def _read(self, served: LoadedVersion, asked: Asked) -> tuple[ParsedRequest, MakeReply] | Reply:
        try:
            if not isinstance(asked, bytes | Keyed):
                return asked.read(served, self.settings.max_rows)
            body = asked.body if isinstance(asked, Keyed) else asked
            request = served.schema.parse(body, self.settings.max_rows)
            return request, partial(_reply, served.pointer.version)
        except RefusedRequest as error:
            return self.refuse(error.status, str(error))

    def _keep(self, answers: Sequence[Answers], replies: Sequence[Reply], version: str) -> None:
        """Count what is answered and give it to the log, before any of the replies leaves."""
        if not answers:
            return
        n_rows = sum(len(one.items) for one in answers)
        given = [one for one, reply in zip(answers, replies, strict=True) if reply.status == 200]
        answered = [row for one in given for row in one.answered]
        self._counters.add(len(answers), rows=n_rows, failed_rows=n_rows - len(answered))
        if answered:
            self._capture.predictions(answered, version, self._clock.now())

    def _ids(self, request: ParsedRequest) -> Sequence[str]:
        if request.ids is not None:
            return request.ids
        return [f"{self._replica}-{next(self._numbers)}" for _ in request.rows]


def _for_both(
    asked: Sequence[Asked], requests: Sequence[ParsedRequest], ids: Sequence[Sequence[str]]
) -> list[Asking]:
    """Return the valid rows of requests, with all that a canary may be chosen by."""
    return [
        Asking(
            row, received, id_, one.key if isinstance(one, Keyed) else None, isinstance(one, bytes | Keyed)
        )
        for one, request, its in zip(asked, requests, ids, strict=True)
        for row, received, id_ in zip(request.rows, request.received, its, strict=True)
        if not isinstance(row, RowError)
    ]


def _reply(version: str, answers: Answers) -> Reply:
    body = _encode({"version": version, "predictions": answers.items})
    return Reply(200 if answers.answered else 422, body)


def _label_error(number: int, item: RejectedLabel) -> Json:
    return {"index": number, "id": item.id, "message": item.message}
