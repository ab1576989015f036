"""Live traffic with late labels and a change of concept at a known moment, for the quickstart."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from raypipe.api.news import News
from raypipe.api.status import endpoint_spec
from raypipe.api.traffic import Pace, Traffic, post_to
from raypipe.config.settings import Config
from raypipe.control.events import Fact, Promoted, RetrainDecided
from raypipe.core.errors import ConfigError
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
    limit_s: float = 240.0
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
class _Accuracy:
    """How often answers were right, by phase and of the newest; counted from several threads."""

    right: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=400))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, phase: str, outcomes: Sequence[bool]) -> None:
        with self.lock:
            self.rows[phase] += len(outcomes)
            self.right[phase] += sum(outcomes)
            self.recent.extend(outcomes)

    def newest(self) -> list[bool]:
        """Return whether the newest answers were right."""
        with self.lock:
            return list(self.recent)

    def forget(self, phase: str) -> None:
        """Count a phase anew: another champion answers."""
        with self.lock:
            self.right[phase] = self.rows[phase] = 0
            self.recent.clear()

    def of(self, phase: str) -> float | None:
        return round(self.right[phase] / self.rows[phase], 4) if self.rows[phase] else None


class DriftDemo:
    """Plays the traffic, and tells what the endpoint and the controller make of it."""

    def __init__(
        self, config: Config, registry: Registry, settings: DemoSettings, say: Callable[[str], None]
    ) -> None:
        self._spec = endpoint_spec(config)
        self._settings = settings
        self._say = say
        self._news = News(config, registry)
        self._traffic = Traffic(post_to(self._spec), settings.label_delay_s)
        self._accuracy = _Accuracy()
        self._phase = "before"
        self._pace = Pace(settings.requests_per_s)
        self._decided_at: float | None = None
        self._rows_to_trigger: int | None = None
        self._promoted_at: float | None = None
        self._decisions: list[str] = []

    def run(self) -> DemoResult:
        """Play until a new champion has recovered, or the time is over.

        Raises ServingError where no endpoint answers, ConfigError for rows that are not the quickstart's.
        """
        self._check()
        rows = self._rows()
        self._pace = Pace(self._settings.requests_per_s)
        with self._traffic as traffic:
            for n in range(self._n_requests()):
                if self._tick(n):
                    break
                batch = [next(rows) for _ in range(self._settings.rows_per_request)]
                labels = [label for _, label in batch]
                traffic.send([row for row, _ in batch], labels, partial(self._count, self._phase, labels))
        return self._result()

    def _check(self) -> None:
        client.read_status(self._spec.url, token=self._spec.status_token())
        row, _ = next(self._rows())
        reply = client.predict(self._spec.url, {"rows": [row]}, token=self._spec.token())
        if reply.status != 200:
            raise ConfigError(
                f"the drift demo plays the quickstart's rows, and {self._spec.url} does not take them: "
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
        self._pace.wait()
        elapsed = self._pace.elapsed_s
        if self._phase == "before" and elapsed >= settings.healthy_s:
            self._phase = "during"
            self._tell(f"the concept changes now: labels follow function {settings.after}")
        if n % max(1, round(settings.requests_per_s)) == 0:
            self._news.tell(self._tell, self._note)
        if n % max(1, round(5 * settings.requests_per_s)) == 0:
            self._tell_accuracy()
        waited = self._promoted_at is not None and elapsed >= self._promoted_at + settings.recovery_s
        if waited and self._has_recovered():
            return True
        return elapsed >= settings.healthy_s + settings.limit_s

    def _count(self, phase: str, labels: Sequence[str], _: str, answers: Sequence[Json]) -> None:
        given = zip(answers, labels, strict=True)
        outcomes = [
            answer["prediction"] == label
            for answer, label in given
            if isinstance(answer, Mapping) and "prediction" in answer
        ]
        self._accuracy.answered(phase, outcomes)

    def _note(self, fact: Fact) -> None:
        elapsed = self._pace.elapsed_s
        match fact:
            case RetrainDecided(decision=decision):
                self._decisions.append(decision)
                if self._decided_at is None and self._phase == "during":
                    self._decided_at = elapsed
                    self._rows_to_trigger = self._accuracy.rows["during"]
            case Promoted() if self._phase != "before":
                self._promoted_at = elapsed
                self._phase = "after"
                self._accuracy.forget("after")

    def _has_recovered(self) -> bool:
        """Say whether the newest champion is right about as often as the first was before the change."""
        before, after = self._accuracy.of("before"), self._accuracy.of("after")
        return before is not None and after is not None and after >= before - RECOVERED_WITHIN

    def _tell_accuracy(self) -> None:
        recent = self._accuracy.newest()
        share = f"{sum(recent) / len(recent):.3f}" if recent else "-"
        traffic = self._traffic
        self._tell(
            f"{traffic.version}: {share} of the last {len(recent)} answers right; "
            f"{traffic.n_requests:,} requests sent, {traffic.n_failed} failed"
        )

    def _tell(self, line: str) -> None:
        self._say(f"{self._pace.elapsed_s:6.1f} s  {line}")

    def _result(self) -> DemoResult:
        accuracy = self._accuracy
        decided, promoted = self._decided_at, self._promoted_at
        took_s = None if decided is None or promoted is None else round(promoted - decided, 1)
        return DemoResult(
            n_requests=self._traffic.n_requests,
            n_failed=self._traffic.n_failed,
            n_rows_to_trigger=self._rows_to_trigger,
            trigger_to_champion_s=took_s,
            accuracy_before=accuracy.of("before"),
            accuracy_during=accuracy.of("during"),
            accuracy_after=accuracy.of("after"),
            decisions=tuple(self._decisions),
        )
