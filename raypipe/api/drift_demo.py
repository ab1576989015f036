"""Live traffic with late labels and a change of concept at a known moment, for the quickstart."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from raypipe.api.status import endpoint_spec
from raypipe.config.settings import Config
from raypipe.control.events import (
    AlertRaised,
    Fact,
    GateJudged,
    Promoted,
    PromotionFailed,
    RetrainDecided,
    RetrainFailed,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import read_facts
from raypipe.core.errors import ConfigError, ServingError
from raypipe.core.ids import Json
from raypipe.data.synthetic import COLUMNS, QUICKSTART_MISSING, QUICKSTART_NOISE, AgrawalSettings, generate
from raypipe.registry.store import Registry
from raypipe.serving import client

RECOVERED_WITHIN = 0.05


@dataclass(frozen=True)
class DemoSettings:
    """What is played; `after` is the function of Agrawal et al. that labels follow after the change."""

    requests_per_s: float = 25.0
    rows_per_request: int = 4
    healthy_s: float = 30.0
    limit_s: float = 170.0
    """How long after the change the demo waits for a new champion."""
    recovery_s: float = 15.0
    """How long it goes on after that, or on to the next champion if this one has not recovered."""
    label_delay_s: float = 2.0
    before: int = 2
    after: int = 3
    seed: int = 1


@dataclass(frozen=True)
class DemoResult:
    """What happened; shares of right answers are over all rows of each time, None where it did not come."""

    n_requests: int
    n_failed: int
    n_rows_to_trigger: int | None
    """Rows answered from the change to the decision to retrain."""
    trigger_to_champion_s: float | None
    accuracy_before: float | None
    accuracy_during: float | None
    accuracy_after: float | None
    decisions: tuple[str, ...]

    def to_json(self) -> Json:
        return asdict(self) | {"decisions": list(self.decisions)}


@dataclass
class _Tally:
    """What the sender counts, from several threads."""

    n_requests: int = 0
    n_failed: int = 0
    right: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=400))
    due: deque[tuple[float, Json]] = field(default_factory=deque)
    version: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(
        self, phase: str, version: str, outcomes: list[bool], labels: list[Json], due: float
    ) -> None:
        with self.lock:
            self.n_requests += 1
            self.version = version
            self.rows[phase] += len(outcomes)
            self.right[phase] += sum(outcomes)
            self.recent.extend(outcomes)
            self.due.extend((due, label) for label in labels)

    def failed(self) -> None:
        with self.lock:
            self.n_requests += 1
            self.n_failed += 1

    def labels_due(self, now: float) -> list[Json]:
        with self.lock:
            ready = []
            while self.due and self.due[0][0] <= now:
                ready.append(self.due.popleft()[1])
            return ready

    def put_back(self, labels: list[Json]) -> None:
        """Keep labels that did not arrive for the next time."""
        with self.lock:
            self.due.extendleft((0.0, label) for label in reversed(labels))

    def newest(self) -> list[bool]:
        """Return whether the newest answers were right."""
        with self.lock:
            return list(self.recent)

    def forget(self, phase: str) -> None:
        """Count a phase anew: another champion answers."""
        with self.lock:
            self.right[phase] = self.rows[phase] = 0
            self.recent.clear()

    def accuracy(self, phase: str) -> float | None:
        return round(self.right[phase] / self.rows[phase], 4) if self.rows[phase] else None


class DriftDemo:
    """Plays the traffic, and tells what the endpoint and the controller make of it."""

    def __init__(
        self, config: Config, registry: Registry, settings: DemoSettings, say: Callable[[str], None]
    ) -> None:
        self._url = endpoint_spec(config).url
        self._pipeline = config.name
        self._registry = registry
        self._settings = settings
        self._say = say
        self._tally = _Tally()
        self._phase = "before"
        self._start = time.monotonic()
        self._seen_seq = 0
        self._decided_at: float | None = None
        self._rows_to_trigger: int | None = None
        self._promoted_at: float | None = None
        self._decisions: list[str] = []

    def run(self) -> DemoResult:
        """Play until a new champion has recovered, or the time is over.

        Raises ServingError where no endpoint answers, ConfigError for rows that are not the quickstart's.
        """
        self._check()
        newest = self._registry.history(self._pipeline, 1)
        self._seen_seq = newest[0].seq if newest else 0
        rows = self._rows()
        self._start = time.monotonic()
        stop = threading.Event()
        labels = threading.Thread(target=self._send_labels, args=(stop,), daemon=True)
        labels.start()
        try:
            with ThreadPoolExecutor(8) as senders:
                for n in range(self._n_requests()):
                    if self._tick(n):
                        break
                    batch = [next(rows) for _ in range(self._settings.rows_per_request)]
                    senders.submit(self._send, batch, self._phase)
        finally:
            stop.set()
            labels.join()
        return self._result()

    def _check(self) -> None:
        client.read_status(self._url)
        row, _ = next(self._rows())
        reply = client.predict(self._url, {"rows": [row]})
        if reply.status != 200:
            raise ConfigError(
                f"the drift demo plays the quickstart's rows, and {self._url} does not take them: "
                f"{str(reply.body)[:200]}"
            )

    def _n_requests(self) -> int:
        settings = self._settings
        seconds = settings.healthy_s + settings.limit_s + settings.recovery_s
        return round(seconds * settings.requests_per_s)

    def _rows(self) -> Iterator[tuple[Mapping[str, Json], str]]:
        """Yield rows with their labels; the function changes with the phase."""
        settings = self._settings
        n_rows = self._n_requests() * settings.rows_per_request
        tables = {
            phase: generate(self._agrawal(n_rows, function)).to_pylist()
            for phase, function in (("before", settings.before), ("after", settings.after))
        }
        for before, after in zip(tables["before"], tables["after"], strict=True):
            row = before if self._phase == "before" else after
            yield {name: row[name] for name in COLUMNS}, row["group"]

    def _agrawal(self, n_rows: int, function: int) -> AgrawalSettings:
        """Return rows as the quickstart has them: the same noise, the same missing values."""
        return AgrawalSettings(
            ((n_rows, function),),
            self._settings.seed,
            label_noise=QUICKSTART_NOISE,
            missing=QUICKSTART_MISSING,
        )

    def _tick(self, n: int) -> bool:
        """Keep the pace, change the concept in time, tell what is new; return whether it is over."""
        settings = self._settings
        wait = self._start + n / settings.requests_per_s - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elapsed = time.monotonic() - self._start
        if self._phase == "before" and elapsed >= settings.healthy_s:
            self._phase = "during"
            self._tell(f"the concept changes now: labels follow function {settings.after}")
        if n % max(1, round(settings.requests_per_s)) == 0:
            self._look()
        if n % max(1, round(5 * settings.requests_per_s)) == 0:
            self._tell_accuracy()
        waited = self._promoted_at is not None and elapsed >= self._promoted_at + settings.recovery_s
        if waited and self._has_recovered():
            return True
        return elapsed >= settings.healthy_s + settings.limit_s

    def _send(self, batch: list[tuple[Mapping[str, Json], str]], phase: str) -> None:
        try:
            reply = client.predict(self._url, {"rows": [row for row, _ in batch]})
            match reply.body:
                case {"version": str(version), "predictions": [*answers]} if reply.status == 200:
                    self._count(phase, version, answers, [label for _, label in batch])
                case _:
                    self._tally.failed()
        except ServingError:
            self._tally.failed()

    def _count(self, phase: str, version: str, answers: list[Json], labels: list[str]) -> None:
        outcomes, late = [], list[Json]()
        for answer, label in zip(answers, labels, strict=True):
            match answer:
                case {"id": str(id), "prediction": prediction}:
                    outcomes.append(prediction == label)
                    late.append({"id": id, "label": label})
        due = time.monotonic() + self._settings.label_delay_s
        self._tally.answered(phase, version, outcomes, late, due)

    def _send_labels(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            labels = self._tally.labels_due(time.monotonic())
            if labels and not self._delivered(labels):
                self._tally.put_back(labels)

    def _delivered(self, labels: list[Json]) -> bool:
        """Send labels; return False where to send them again may help."""
        try:
            return client.feedback(self._url, {"labels": labels}).status < 500
        except ServingError:
            return False

    def _look(self) -> None:
        for seq, fact in read_facts(self._registry, self._pipeline, after_seq=self._seen_seq):
            self._seen_seq = seq
            self._note(fact)
            line = told(fact)
            if line is not None:
                self._tell(line)

    def _note(self, fact: Fact) -> None:
        elapsed = time.monotonic() - self._start
        match fact:
            case RetrainDecided(decision=decision):
                self._decisions.append(decision)
                if self._decided_at is None and self._phase == "during":
                    self._decided_at = elapsed
                    self._rows_to_trigger = self._tally.rows["during"]
            case Promoted() if self._phase != "before":
                self._promoted_at = elapsed
                self._phase = "after"
                self._tally.forget("after")

    def _has_recovered(self) -> bool:
        """Say whether the newest champion is right about as often as the first was before the change."""
        before, after = self._tally.accuracy("before"), self._tally.accuracy("after")
        return before is not None and after is not None and after >= before - RECOVERED_WITHIN

    def _tell_accuracy(self) -> None:
        recent = self._tally.newest()
        share = f"{sum(recent) / len(recent):.3f}" if recent else "-"
        tally = self._tally
        self._tell(
            f"{tally.version}: {share} of the last {len(recent)} answers right; "
            f"{tally.n_requests:,} requests sent, {tally.n_failed} failed"
        )

    def _tell(self, line: str) -> None:
        self._say(f"{time.monotonic() - self._start:6.1f} s  {line}")

    def _result(self) -> DemoResult:
        tally = self._tally
        decided, promoted = self._decided_at, self._promoted_at
        took_s = None if decided is None or promoted is None else round(promoted - decided, 1)
        return DemoResult(
            n_requests=tally.n_requests,
            n_failed=tally.n_failed,
            n_rows_to_trigger=self._rows_to_trigger,
            trigger_to_champion_s=took_s,
            accuracy_before=tally.accuracy("before"),
            accuracy_during=tally.accuracy("during"),
            accuracy_after=tally.accuracy("after"),
            decisions=tuple(self._decisions),
        )


def told(fact: Fact) -> str | None:
    """Return what a person is told of a fact, None for what is no news."""
    match fact:
        case RetrainDecided():
            return f"{fact.decision} is decided: {fact.trigger}"
        case RetrainSubmitted():
            return f"{fact.decision} runs as a Ray job"
        case RetrainSucceeded():
            return f"{fact.decision} made {fact.version}: {fact.family}, {fact.cost_cpu_s} CPU seconds"
        case RetrainFailed():
            return f"{fact.decision} failed: {fact.reason}"
        case GateJudged():
            scores = f"champion {_score(fact.champion_score)}, challenger {_score(fact.challenger_score)}"
            return f"the gate says {fact.verdict}: {scores} ({'; '.join(fact.reasons)})"
        case Promoted():
            return f"{fact.version} is the champion, epoch {fact.epoch}"
        case PromotionFailed():
            return f"{fact.version} was not promoted: {fact.reason}"
        case AlertRaised():
            return f"alert: {fact.text}"
        case _:
            return None


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
