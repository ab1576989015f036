"""Traffic played against an endpoint: at a steady pace, from several threads, with labels that come later."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeAlias

from raypipe.core.errors import ServingError
from raypipe.core.ids import Json
from raypipe.serving import client
from raypipe.serving.client import EndpointReply
from raypipe.serving.spec import EndpointSpec

N_THREADS = 8
MAX_WAITING = 64
"""Requests on their way at once; further ones wait, so that a slow endpoint is not asked ever more."""
LABEL_INTERVAL_S = 0.5

Post: TypeAlias = Callable[[str, Json], EndpointReply]
"""Sends a body to a route of the endpoint; raises ServingError where none answers."""
Take: TypeAlias = Callable[[str, Sequence[Json]], None]
"""Takes the version that answered a request, and its answers, one a row; called from several threads."""


def post_to(spec: EndpointSpec) -> Post:
    """Return what posts to an endpoint."""
    url, token = spec.url, spec.token()
    return lambda route, body: client.ask(url, "POST", route, body, token=token)


class Pace:
    """A rate that may change: `wait(n)` waits for the time of the next n units."""

    def __init__(
        self,
        per_s: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_s = per_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._start = monotonic()
        self._due_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """The seconds since the start."""
        return self._monotonic() - self._start

    def wait(self, n: int = 1) -> None:
        """Wait until the units before these have had their time; what is late is not waited for."""
        early = self._due_s - self.elapsed_s
        if early > 0:
            self._sleep(early)
        self._due_s += n / self.per_s


class LateLabels:
    """Labels that are sent once they are due, in the order in which they came, and again if not received."""

    def __init__(self, post: Post, delay_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._post = post
        self._delay_s = delay_s
        self._monotonic = monotonic
        self._due: deque[tuple[float, Json]] = deque()
        self._lock = threading.Lock()
        self.n_refused = 0
        """Labels that the endpoint did not accept, such as of a class that its model does not know."""

    @property
    def n_waiting(self) -> int:
        """Labels that are not due yet, or have not arrived."""
        return len(self._due)

    def add(self, labels: Sequence[Json]) -> None:
        """Take labels that are due after the delay."""
        due = self._monotonic() + self._delay_s
        with self._lock:
            self._due.extend((due, label) for label in labels)

    def send_due(self) -> None:
        """Send all labels that are due, and keep those that did not arrive for the next time."""
        labels = self._take_due()
        if labels and not self._delivered(labels):
            with self._lock:
                self._due.extendleft((0.0, label) for label in reversed(labels))

    def send_until(self, stop: threading.Event) -> None:
        """Send what is due again and again, until told to stop."""
        while not stop.wait(LABEL_INTERVAL_S):
            self.send_due()

    def _take_due(self) -> list[Json]:
        now, ready = self._monotonic(), list[Json]()
        with self._lock:
            while self._due and self._due[0][0] <= now:
                ready.append(self._due.popleft()[1])
        return ready

    def _delivered(self, labels: list[Json]) -> bool:
        """Send labels; return False where to send them again may help."""
        try:
            reply = self._post("feedback", {"labels": labels})
        except ServingError:
            return False
        match reply.body:
            case {"errors": [*errors]}:
                self.n_refused += len(errors)
        return reply.status < 500


class Traffic:
    """Sends requests as long as its block lasts, counts them, and sends the labels of what was answered.

    At the block's end requests on their way are waited for; labels that are not due yet are not.
    """

    def __init__(self, post: Post, label_delay_s: float) -> None:
        self._post = post
        self.labels = LateLabels(post, label_delay_s)
        self._senders = ThreadPoolExecutor(N_THREADS, thread_name_prefix="traffic")
        self._on_their_way: deque[Future[None]] = deque()
        self._stop = threading.Event()
        self._label_sender = threading.Thread(
            target=self.labels.send_until, args=(self._stop,), name="labels", daemon=True
        )
        self._lock = threading.Lock()
        self.n_requests = 0
        self.n_failed = 0
        self.version = ""
        """The version that answered last."""

    def __enter__(self) -> Traffic:
        self._label_sender.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self._senders.shutdown(cancel_futures=error is not None)
        self._end_labels()

    def send(self, rows: Sequence[Mapping[str, Json]], labels: Sequence[Json], take: Take) -> None:
        """Send rows as one request, soon; their labels follow by the ids of the answers.

        Raises what `take` raised for an earlier request.
        """
        waiting = self._on_their_way
        while waiting and (len(waiting) >= MAX_WAITING or waiting[0].done()):
            waiting.popleft().result()
        waiting.append(self._senders.submit(self._send, rows, labels, take))

    def settle(self, timeout_s: float) -> bool:
        """Wait for all answers, and until all labels have arrived; return whether they did in time."""
        while self._on_their_way:
            self._on_their_way.popleft().result()
        self._end_labels()
        deadline = time.monotonic() + timeout_s
        while self.labels.n_waiting and time.monotonic() < deadline:
            self.labels.send_due()
            time.sleep(LABEL_INTERVAL_S / 5)
        return not self.labels.n_waiting

    def _end_labels(self) -> None:
        self._stop.set()
        self._label_sender.join()

    def _send(self, rows: Sequence[Mapping[str, Json]], labels: Sequence[Json], take: Take) -> None:
        try:
            reply: EndpointReply | None = self._post("predict", {"rows": list(rows)})
        except ServingError:
            reply = None
        match reply:
            case EndpointReply(200, {"version": str(version), "predictions": [*answers]}):
                take(version, answers)
                self.labels.add(labels_of(answers, labels))
                self._count(version)
            case _:
                self._count(None)

    def _count(self, version: str | None) -> None:
        with self._lock:
            self.n_requests += 1
            self.n_failed += version is None
            self.version = version or self.version


def labels_of(answers: Sequence[Json], labels: Sequence[Json]) -> list[Json]:
    """Return the labels to send: those of rows that were answered, by the ids of the answers."""
    found = list[Json]()
    for answer, label in zip(answers, labels, strict=True):
        match answer:
            case {"id": str(id), "prediction": _}:
                found.append({"id": id, "label": label})
    return found
