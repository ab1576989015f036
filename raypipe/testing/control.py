"""A world for a controller to act in, that may kill it at each of its steps, and a registry in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from raypipe.control.actions import SetCanary
from raypipe.control.controller import Controller
from raypipe.control.events import AlertRaised, Evidence, Fact, Quality, WindowScored
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.ledger import read_facts
from raypipe.control.outcome import Retrained
from raypipe.control.ports import JobState, Ports
from raypipe.control.receipts import Receipt, receipts
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.core.errors import RaypipeError
from raypipe.core.ids import Json
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.sqlite import SqliteSession
from raypipe.registry.store import Registry
from raypipe.registry.values import LedgerEntry
from raypipe.testing.fakes import FakeClock


class Killed(BaseException):
    """The controller's process has died."""


class MemoryDatabase:
    """A registry's database in the memory of one process: the same statements, no disk."""

    name = "memory"

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def copy(self) -> MemoryDatabase:
        """Return a database with the same content."""
        twin = MemoryDatabase()
        self._connection.backup(twin._connection)
        return twin

    def close(self) -> None:
        """Forget the content."""
        self._connection.close()

    def has_table(self, name: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
        return bool(SqliteSession(self._connection).rows(query, name=name))

    @contextmanager
    def read(self) -> Iterator[SqliteSession]:
        yield SqliteSession(self._connection)

    @contextmanager
    def write(self) -> Iterator[SqliteSession]:
        self._connection.execute("BEGIN")
        try:
            yield SqliteSession(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


class MemoryRegistry(Registry):
    """A registry over a `MemoryDatabase`."""

    def __init__(self, clock: FakeClock, database: MemoryDatabase) -> None:
        super().__init__("sqlite:///in-memory", clock)
        self._database = database


@dataclass
class World:
    """What a controller of `pipeline` acts on: it outlives controllers, and may kill one at any of its steps.

    Live quality of a version is its `score`, with an interval of 0.04 to each side.
    """

    pipeline: str
    database: MemoryDatabase
    clock: FakeClock = field(default_factory=FakeClock)
    results: dict[str, Retrained] = field(default_factory=dict)
    running: dict[str, JobState] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=lambda: {"v1": 0.6, "v2": 0.9})
    errors: dict[str, RaypipeError] = field(default_factory=dict)
    webhook_is_up: bool = True
    traffic_flows: bool = True
    seen: list[AlertRaised] = field(default_factory=list)
    """What the watch of captures will tell of next."""
    before_result: Callable[[], None] = lambda: None
    shown: Callable[[str], RolloutEvidence | None] = lambda _: None
    """What was measured of a decision's challenger on live traffic."""
    gate_shown: Callable[[str], GateEvidence | None] = lambda _: None
    """What was found of a decision's challenger on rows that were labelled after its gate's first look."""
    canary: SetCanary | None = None
    """What the pointer names beside the champion."""
    watched: set[str] = field(default_factory=set)
    """Decisions whose challengers are being measured."""
    n_labels: int = 500
    dies_at: frozenset[int] = frozenset()
    """The steps, counted over all controllers, at which the one that runs dies."""
    n_steps: int = 0
    n_sends: int = 0
    _is_dead: bool = False

    @property
    def registry(self) -> Registry:
        """The registry as people see it: nobody dies of its writes."""
        return MemoryRegistry(self.clock, self.database)

    def controller(self, settings: RetrainingSettings, *, mortal: bool = False) -> Controller:
        """Return a controller that has not started; a mortal one may die of its writes too."""
        self._is_dead = False
        registry = MortalRegistry(self) if mortal else self.registry
        ports = Ports(
            jobs=self, traffic=self, releases=self, alerts=self, capture=self, rollout=self, sequence=self
        )
        return Controller(self.pipeline, settings, registry, self.clock, ports, self.clock.uptime)

    def at(self, port: str) -> None:
        """Pass a point at which the process may die, or the port may fail.

        Until there is a new controller, a dead one dies again at each of its steps: what Python's `finally`
        would still do, a killed process does not.
        """
        if self._is_dead:
            raise Killed
        self.n_steps += 1
        if self.n_steps in self.dies_at:
            self._is_dead = True
            raise Killed
        if port in self.errors:
            raise self.errors[port]

    def submit(self, decision: str) -> None:
        self.at("submit")
        if decision not in self.running:
            self.started.append(decision)
            self.running[decision] = "running"
        self.at("submitted")

    def state(self, decision: str) -> JobState:
        self.at("state")
        return self.running.get(decision, "unknown")

    def stop(self, decision: str) -> None:
        self.at("stop")
        self.stopped.append(decision)

    def result(self, decision: str) -> Retrained | None:
        self.before_result()
        return self.results.get(decision)

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        self.at("measure")
        if not self.traffic_flows:
            return None
        score = self.scores[champion]
        quality = Quality("accuracy", True, score, score - 0.04, score + 0.04, 500)
        return WindowScored(at, champion, self.n_labels, quality)

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        self.at("promote")
        if self.registry.alias(self.pipeline, "champion") != version:
            self.registry.set_alias(
                self.pipeline, "champion", version, expected=expected, reason=reason, controller=controller
            )
        self.canary = None
        self.at("promoted")
        return self._epoch()

    def watch(self, decision: str, version: str, champion: str | None) -> None:  # noqa: ARG002 - the port's names
        self.at("watch")
        self.watched.add(decision)

    def evidence(self, decision: str) -> RolloutEvidence | None:
        return self.shown(decision)

    def watch_gate(self, decision: str, version: str, champion: str | None) -> None:  # noqa: ARG002 - the port's names
        self.at("watch_gate")
        self.watched.add(f"{decision}/gate")

    def end_gate(self, decision: str) -> None:
        self.at("end_gate")
        self.watched.discard(f"{decision}/gate")

    def gate_evidence(self, decision: str) -> GateEvidence | None:
        return self.gate_shown(decision)

    def set_canary(self, canary: SetCanary, controller: int) -> int:
        self.at("set_canary")
        if self.canary != canary:
            self._stay(canary.champion, canary.version, controller)
            self.canary = canary
        self.at("canary_set")
        return self._epoch()

    def end(self, decision: str, controller: int) -> None:
        self.at("end")
        if self.canary is not None:
            self._stay(self.champion, "withdrawn", controller)
        self.canary = None
        self.watched -= {decision, f"{decision}/gate"}
        self.at("ended")

    def _stay(self, champion: str | None, reason: str, controller: int) -> None:
        """Give the champion's place to the champion, under a new epoch."""
        version = champion or ""
        self.registry.set_alias(
            self.pipeline, "champion", version, expected=champion, reason=reason, controller=controller
        )

    def _epoch(self) -> int:
        return self.registry.alias_history(self.pipeline, "champion")[0].epoch

    def send(self, key: str, text: str, evidence: Evidence) -> bool:  # noqa: ARG002 - the port's names
        self.at("send")
        self.n_sends += 1
        if self.webhook_is_up:
            self.told.append(key)
        return self.webhook_is_up

    def look(self, at: datetime) -> AlertRaised | None:
        if not self.seen:
            return None
        self.at("look")
        return replace(self.seen.pop(0), at=at)

    def ends(self, decision: str, state: JobState, result: Retrained | None = None) -> None:
        """Let a job end, with what it leaves behind."""
        self.running[decision] = state
        if result is not None:
            self.results[decision] = result

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is in the ledger, oldest first."""
        return tuple(fact for _, fact in read_facts(self.registry, self.pipeline))

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipt of each decision."""
        return receipts(self.facts, self.pipeline)

    @property
    def champion(self) -> str | None:
        """The version that the alias names."""
        return self.registry.alias(self.pipeline, "champion")


class MortalRegistry(MemoryRegistry):
    """A world's registry in front of and behind whose writes to the ledger the process may die."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock, world.database)
        self._world = world

    def append(
        self, pipeline: str, kind: str, subject: str, detail: Json, *, controller: int | None = None
    ) -> LedgerEntry:
        self._world.at("append")
        entry = super().append(pipeline, kind, subject, detail, controller=controller)
        self._world.at("appended")
        return entry
