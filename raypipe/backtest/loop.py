"""The controller over recorded rows: a retrain runs at once, a release is a variable, time is the rows'."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa

from raypipe.backtest.gates import RecordedGate
from raypipe.backtest.learner import Fit, Learner
from raypipe.backtest.ledger import MemoryLedger
from raypipe.backtest.stream import Stream
from raypipe.backtest.traffic import RecordedTraffic
from raypipe.control.controller import Controller
from raypipe.control.events import Evidence, Fact
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.ledger import action_of, read_facts
from raypipe.control.outcome import Retrained
from raypipe.control.ports import JobState, Ports
from raypipe.core.errors import DataError, RaypipeError, UnknownVersion
from raypipe.policy.config import AlertSettings, RetrainingSettings
from raypipe.policy.rollout import RolloutSettings
from raypipe.training.compare import Answers, Comparison, aligned, compare
from raypipe.training.models import Float64Array
from raypipe.training.slices import slices_of

FIRST = "v1"
MAX_TICKS = 50
"""So often a controller is called at one look, until its state stays as it is."""


@dataclass
class RowClock:
    """Tells the time of the newest row that was answered."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def as_played(settings: RetrainingSettings) -> RetrainingSettings:
    """Return a policy as a backtest plays it: nobody is asked, and a challenger that passed answers all."""
    mode = "auto" if settings.mode == "approve" else settings.mode
    return settings.model_copy(update={"mode": mode, "rollout": RolloutSettings(), "alerts": AlertSettings()})


@dataclass
class RecordedLoop:
    """One pipeline's controller with all it acts through; `look` is called after each look's rows."""

    name: str
    stream: Stream
    learner: Learner
    settings: RetrainingSettings
    traffic: RecordedTraffic
    seed: int
    fits: dict[str, Fit] = field(default_factory=dict)
    """All versions that were made."""
    results: dict[str, Retrained] = field(default_factory=dict)
    """What became of each decision's retrain."""

    def __post_init__(self) -> None:
        self._n_answered = self.stream.n_history
        self._clock = RowClock(self.stream.at(self.stream.n_history - 1))
        self._ledger = MemoryLedger(self._clock)
        self._gate: tuple[str, RecordedGate] | None = None
        ports = Ports(jobs=self, traffic=self.traffic, releases=self, alerts=self, sequence=self)
        self._controller = Controller(self.name, as_played(self.settings), self._ledger, self._clock, ports)
        self._made(self.learner.first())
        self._ledger.release(self.name, FIRST, None, "the first")
        self._controller.start()

    @property
    def version(self) -> str:
        """The version that answers."""
        return self._ledger.alias(self.name, "champion") or FIRST

    @property
    def champion(self) -> Fit:
        return self.fits[self.version]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is in the ledger, oldest first."""
        return tuple(fact for _, fact in read_facts(self._ledger, self.name))

    def look(self, start: int, end: int, raw: Float64Array) -> None:
        """Take in the champion's answers to the rows of a look, and let the controller decide and act."""
        self.traffic.take(start, end, self.version, self.champion, raw)
        if self._gate is not None:
            self._gate[1].answered(start, end, self.version)
        self._n_answered, self._clock.at = end, self.stream.at(end - 1)
        before = None
        for _ in range(MAX_TICKS):
            self._controller.tick()
            if before == (before := self._controller.state):
                return

    def submit(self, decision: str) -> None:
        """Do what was decided at once, and compare what comes of it with the champion."""
        champion, action = self.version, action_of(self._ledger, self.name, decision)
        try:
            made = self._earlier() if action == "rollback" else self._learned()
            self.results[decision] = replace(
                made,
                champion_data_version=_data_of(self.champion.n_known),
                comparison=self._compared(champion, made),
            )
        except RaypipeError as error:
            self.results[decision] = Retrained(error=str(error))

    def state(self, decision: str) -> JobState:
        """Return how a retrain ended."""
        return "succeeded" if self.results[decision].version is not None else "failed"

    def stop(self, decision: str) -> None:
        """Leave a retrain as it is: it has ended before anybody could stop it."""

    def result(self, decision: str) -> Retrained | None:
        return self.results.get(decision)

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        """Let a version answer from the next look on."""
        del controller
        return self._ledger.release(self.name, version, expected, reason)

    def watch_gate(self, decision: str, version: str, champion: str | None) -> None:
        """Let later rows go on to judge; raises DataError where the first look left nothing to go on by."""
        if champion is None or (self._gate is not None and self._gate[0] == decision):
            return
        compared, n_known = self.results[decision].comparison, self.stream.known(self._n_answered)
        gate = RecordedGate(
            self.stream,
            self.traffic.texts,
            self.settings.gate,
            time=None,
            scale=None if compared is None else compared.scale,
            champion=(champion, self.fits[champion]),
            challenger=(version, self.fits[version]),
            n_labelled=n_known,
        )
        for start, end in self.stream.looks:
            if n_known < end <= self._n_answered:
                gate.answered(start, end, champion)
        self._gate = decision, gate

    def end_gate(self, decision: str) -> None:
        """Judge no more rows."""
        if self._gate is not None and self._gate[0] == decision:
            self._gate = None

    def gate_evidence(self, decision: str) -> GateEvidence | None:
        """Return what was found on later rows."""
        return None if self._gate is None or self._gate[0] != decision else self._gate[1].evidence

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        """Tell nobody: alerts are in the ledger."""
        del key, text, evidence
        return True

    def _learned(self) -> Retrained:
        fit = self.learner.again(self.stream.known(self._n_answered), self.champion)
        return Retrained(
            self._made(fit),
            data_version=_data_of(fit.n_known),
            family=fit.family,
            params=fit.params,
            cost_cpu_s=round(fit.cpu_s, 3),
        )

    def _earlier(self) -> Retrained:
        """Return the version that was the champion before; raises UnknownVersion where none was."""
        back = self._ledger.before
        if back is None:
            raise UnknownVersion(f"no version was the champion before {self.version}.")
        found = self.fits[back]
        return Retrained(back, data_version=_data_of(found.n_known), family=found.family, cost_cpu_s=0.0)

    def _made(self, fit: Fit) -> str:
        version = f"v{len(self.fits) + 1}"
        self.traffic.watch(version, fit)
        self.fits[version] = fit
        return version

    def _compared(self, champion: str, made: Retrained) -> Comparison:
        """Compare on the rows that were kept to judge, as a retrain's job does."""
        assert made.version is not None
        before, after = self.fits[champion], self.fits[made.version]
        task, rows = after.prepared.task, self._judges(before, after)
        return compare(
            task,
            task.encode(rows[task.label]),
            Answers(champion, aligned(before.answers(rows), before.prepared.task, task)),
            Answers(made.version, after.answers(rows)),
            seed=self.seed,
            margin=self.settings.gate.margin,
            slices=slices_of(rows, after.prepared.transform.inputs),
        )

    def _judges(self, before: Fit, after: Fit) -> pa.Table:
        """Return the rows that neither was trained or chosen by; of an earlier version, the newest ones."""
        if after.n_known > before.n_known:
            return self.stream.rows.take(pa.array(after.cut.test))
        n_known, most = self.stream.known(self._n_answered), self.settings.gate.max_rows
        first = max(before.n_known, n_known - most)
        if first >= n_known:
            raise DataError("no labelled rows are new since the champion was trained; wait for more labels.")
        return self.stream.rows.slice(first, n_known - first)


def _data_of(n_known: int) -> str:
    return f"the {n_known} oldest rows"
