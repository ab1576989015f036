"""The loop around `step`: look, decide, record, act; no Ray, and nothing known that the ledger lacks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from raypipe.control.actions import (
    Action,
    AskApproval,
    EndRollout,
    FollowRetrain,
    JudgeChallenger,
    Promote,
    Record,
    Reject,
    SendAlert,
    SetCanary,
    StopRetrain,
    SubmitRetrain,
    WatchGate,
    WatchRollout,
)
from raypipe.control.events import (
    AlertRaised,
    AlertSent,
    ControllerStarted,
    Event,
    Evidence,
    Fact,
    Promoted,
    PromotionFailed,
    RetrainFailed,
    RetrainLost,
    RetrainSubmitted,
    RetrainSucceeded,
    Ticked,
)
from raypipe.control.first_look import Asked, first_look
from raypipe.control.gate_shell import GateShell
from raypipe.control.jumps import LookClock, jump_between
from raypipe.control.ledger import Ledger, fold_facts, read_facts, record
from raypipe.control.ports import JobState, Ports
from raypipe.control.rollout_shell import RolloutShell
from raypipe.control.state import Promoting, State
from raypipe.control.step import resume, step
from raypipe.core.clock import Clock, Uptime
from raypipe.core.errors import RaypipeError, RegistryError, StaleEpoch, StorageError
from raypipe.policy.config import RetrainingSettings

RETRY_ALERTS = timedelta(seconds=30)
_log = logging.getLogger("raypipe.control")


class Controller:
    """One pipeline's controller, under an epoch of its own; `tick` is called again and again.

    `uptime` tells a clock that was set from time that went by; without it the clock is believed.
    """

    def __init__(
        self,
        pipeline: str,
        settings: RetrainingSettings,
        registry: Ledger,
        clock: Clock,
        ports: Ports,
        uptime: Callable[[], Uptime] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._registry = registry
        self._clock = LookClock(clock, uptime)
        self._ports = ports
        self._rollout = RolloutShell(ports.rollout, self._clock)
        self._gate = GateShell(ports.sequence, self._clock)
        self._state = State(pipeline)
        self._seq = 0
        self._written = 0
        self._epoch = 0
        self._is_astray = False
        self._following: str | None = None
        self._n_labels: int | None = None
        self._told_at: datetime | None = None
        self._untold: AlertRaised | None = None

    @property
    def state(self) -> State:
        """What the ledger folds to, as far as this controller has read."""
        return self._state

    def start(self) -> None:
        """Take over: announce a new epoch, fold the ledger, and see to what was under way."""
        before = fold_facts((fact for _, fact in read_facts(self._registry, self._pipeline)), self._pipeline)
        self._epoch = self._registry.take_over(self._pipeline)
        seen = self._clock.begin()
        jump = jump_between(before.clock, seen, self._epoch)
        if jump is not None:
            record(self._registry, self._pipeline, jump)
        started = ControllerStarted(
            self._clock.now(),
            epoch=self._epoch,
            champion=self._registry.alias(self._pipeline, "champion"),
            champion_epoch=before.champion_epoch,
            schedule=self._settings.triggers.schedule,
            boot=seen.boot if seen else "",
            uptime_s=seen.uptime_s if seen else None,
            controller=self._epoch,
        )
        record(self._registry, self._pipeline, started)
        self._recover()

    def tick(self) -> None:
        """Take what people wrote, what the job says, and what live traffic shows.

        Raises StaleEpoch once another controller has taken over, at the latest at its next write. Time goes
        on whatever else fails, so that each wait has its end.
        """
        seen = self._clock.begin()
        self._watch_capture()
        jump = jump_between(self._state.clock, seen, self._epoch)
        if jump is not None:
            self._take(jump)
        self._read()
        try:
            self._mend()
            self._follow()
            self._score_live()
        finally:
            self._observe()
        self._retry_alerts()

    def _watch_capture(self) -> None:
        """Tell of what is not captured, also where the ledger cannot be written for the same reason."""
        watch = self._ports.capture
        alert = self._untold or (watch.look(self._clock.now()) if watch is not None else None)
        if alert is None:
            return
        self._untold = alert
        try:
            self._take(replace(alert, controller=self._epoch))
        except StaleEpoch:
            raise
        except (RegistryError, StorageError) as error:
            _log.warning("the alert %s could not be recorded: %s", alert.key, error)
            if not self._may_tell() or self._sent(alert.key, alert.text, alert.evidence) is None:
                return
        self._untold = None

    def _read(self) -> None:
        """Take what people wrote since the last look."""
        for seq, fact in read_facts(self._registry, self._pipeline, after_seq=self._seq):
            self._seq = seq
            if fact.controller is not None:
                self._check_epoch(fact.controller)
            elif seq < self._written:
                # Something was written after it that did not know of it: the ledger's order counts.
                self._recover()
                return
            else:
                self._take(fact)

    def _mend(self) -> None:
        """End what a release, by whatever hand, left half done: the alias moved, and the pointer did not."""
        mending = self._ports.mending
        if mending is None:
            return
        try:
            mending.settle(self._epoch)
        except StaleEpoch:
            raise
        except RaypipeError as error:
            _log.warning("the pointer does not name the champion: %s", error)

    def _check_epoch(self, newest: int) -> None:
        if newest > self._epoch:
            raise StaleEpoch(
                f"another controller of {self._pipeline} has taken over with epoch {newest}. "
                f"This one has {self._epoch}, and ends."
            )

    def _recover(self) -> None:
        """Begin anew from the ledger, and see to what it says is under way."""
        facts = read_facts(self._registry, self._pipeline)
        self._seq = self._written = facts[-1][0] if facts else 0
        self._following = None
        self._state = fold_facts((fact for _, fact in facts), self._pipeline)
        self._check_epoch(self._state.controller)
        self._act(deque(resume(self._state, self._settings)))

    def _take(self, event: Event) -> None:
        if self._is_astray:
            self._recover()
        self._state, actions = step(self._state, event, self._settings)
        self._act(deque(actions))

    def _act(self, actions: deque[Action]) -> None:
        # Until all is done, the state is ahead of the ledger: should an action raise, the ledger counts.
        self._is_astray = True
        while actions:
            event = self._done(actions.popleft())
            if event is not None:
                self._state, following = step(self._state, event, self._settings)
                actions.extend(following)
        self._is_astray = False

    def _done(self, action: Action) -> Event | None:
        """Do one thing, and return what became of it where that is known at once."""
        match action:
            case Record(fact):
                self._written = record(self._registry, self._pipeline, fact).seq
            case SubmitRetrain(decision=decision):
                return self._submitted(decision)
            case FollowRetrain(decision):
                self._following = decision
            case StopRetrain(decision):
                self._following = decision
                self._stop(decision)
            case JudgeChallenger(decision, version, champion):
                return self._judged(decision, version, champion)
            case WatchGate():
                self._gate.watch(action)
            case AskApproval(decision, version, until):
                text = f"{version} passed its gate and waits for approval until {until:%Y-%m-%d %H:%M} UTC"
                return AlertRaised(
                    self._clock.now(), f"{decision}/approval", text, Evidence(), controller=self._epoch
                )
            case Promote(decision, version, champion):
                return self._promoted(decision, version, champion)
            case WatchRollout() | SetCanary() | EndRollout():
                return self._rollout.done(action, self._epoch)
            case SendAlert(key, text, evidence):
                return self._sent(key, text, evidence)
            case Reject():
                pass  # It stays registered; its receipt says why it does not serve.
            case _:
                assert_never(action)
        return None

    def _submitted(self, decision: str) -> Fact:
        try:
            self._ports.jobs.submit(decision)
        except RaypipeError as error:
            return RetrainFailed(self._clock.now(), decision, str(error), controller=self._epoch)
        return RetrainSubmitted(self._clock.now(), decision, controller=self._epoch)

    def _stop(self, decision: str) -> None:
        try:
            self._ports.jobs.stop(decision)
        except RaypipeError as error:
            # It counts as lost unless it ends in time.
            _log.warning("%s was not stopped: %s", decision, error)

    def _follow(self) -> None:
        decision = self._following
        if decision is None:
            return
        state = self._ports.jobs.state(decision)
        if state == "running":
            return
        self._following = None
        self._take(self._ended(decision, state))

    def _ended(self, decision: str, state: JobState) -> Fact:
        """Return how a job ended: a version that it left behind counts, whatever became of the job."""
        now, found = self._clock.now(), self._ports.jobs.result(decision)
        if found is not None and found.version is not None:
            return RetrainSucceeded(
                now,
                decision,
                found.version,
                found.data_version,
                found.champion_data_version,
                found.family,
                found.params,
                found.cost_cpu_s,
                found.note,
                found.cost_gpu_s,
                controller=self._epoch,
            )
        if state == "unknown":
            return RetrainLost(now, decision, controller=self._epoch)
        silent = "its job ended without a word, as a killed one does; its log is in the dashboard"
        reason = found.error if found is not None else silent
        return RetrainFailed(now, decision, reason, controller=self._epoch)

    def _judged(self, decision: str, version: str, champion: str | None) -> Fact:
        """Take the first look, by what the retrain's job left behind."""
        asked = Asked(self._clock.now(), self._epoch, decision, version, champion)
        found = self._ports.jobs.result(decision)
        return first_look(asked, found, self._settings.gate, can_go_on=self._gate.can_go_on)

    def _promoted(self, decision: str, version: str, champion: str | None) -> Fact:
        phase = self._state.phase
        early = isinstance(phase, Promoting) and not phase.gated
        reason = f"{decision} {'was approved before its gate had a verdict' if early else 'passed its gate'}"
        try:
            epoch = self._ports.releases.promote(version, champion, reason, self._epoch)
        except RaypipeError as error:
            return PromotionFailed(self._clock.now(), decision, version, str(error), controller=self._epoch)
        return Promoted(self._clock.now(), decision, version, epoch, controller=self._epoch)

    def _score_live(self) -> None:
        """Take what live rows have shown of a challenger, and see that it goes on being measured."""
        for shell in (self._gate, self._rollout):
            scored = shell.scored(self._state, self._epoch)
            if scored is not None:
                self._take(scored)

    def _sent(self, key: str, text: str, evidence: Evidence) -> Fact | None:
        self._told_at = self._clock.now()
        if not self._ports.alerts.send(key, text, evidence):
            return None
        return AlertSent(self._clock.now(), key, controller=self._epoch)

    def _may_tell(self) -> bool:
        """Return whether the last attempt to tell something is long enough ago."""
        told_at, now = self._told_at, self._clock.now()
        return told_at is None or not timedelta(0) <= now - told_at < RETRY_ALERTS

    def _retry_alerts(self) -> None:
        """Send again what did not arrive, twice a minute, until one does not arrive again."""
        if not self._may_tell():
            return
        for alert in self._state.unsent:
            sent = self._sent(alert.key, alert.text, alert.evidence)
            if sent is None:
                return
            self._take(sent)

    def _observe(self) -> None:
        """Take the newest window, or else that time went on."""
        now, champion, window = self._clock.now(), self._state.champion, None
        try:
            if champion is not None:
                window = self._ports.traffic.measure(champion, now)
        finally:
            if window is not None:
                self._n_labels = window.n_labels
            self._take(window or Ticked(now, self._n_labels))
