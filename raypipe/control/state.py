"""What the controller knows: all of it folds from the ledger, none of it is kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from raypipe.control.events import AlertRaised, Evidence, RetrainRequested, Trigger
from raypipe.control.level import Lost
from raypipe.policy.config import MAX_DOUBLINGS, RetrainAction, RetrainingSettings

N_REMEMBERED = 100
"""Keys of alerts, and requests, that are remembered, so that the state stays small."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Watching:
    """Nothing is under way."""


@dataclass(frozen=True)
class Retraining:
    """A retrain was decided; its job exists once `submitted`."""

    decision: str
    trigger: Trigger
    evidence: Evidence
    since: datetime
    n_labels_before: int
    """What the next retrain counts new labels from, should this one make no version."""
    action: RetrainAction = "retrain"
    submitted: bool = False
    stopping_since: datetime | None = None


@dataclass(frozen=True)
class Gating:
    """A challenger is being compared with the champion."""

    decision: str
    version: str
    champion: str | None
    since: datetime


@dataclass(frozen=True)
class AwaitingLabels:
    """The gate has not decided yet: challenger and champion are scored on rows whose labels come now."""

    decision: str
    version: str
    champion: str | None
    since: datetime


@dataclass(frozen=True)
class Shadowing:
    """A challenger is asked what clients ask, unseen by them."""

    decision: str
    version: str
    champion: str | None
    since: datetime


@dataclass(frozen=True)
class AwaitingApproval:
    """A challenger passed its gate, and waits for the word of a person or of the policy."""

    decision: str
    version: str
    champion: str | None
    since: datetime
    shadowed: bool = False
    """Whether a shadow is behind it."""


@dataclass(frozen=True)
class Canarying:
    """A challenger answers a part of the traffic, or is about to."""

    decision: str
    version: str
    champion: str | None
    since: datetime
    """When the step began."""
    step: int = -1
    """-1 until the first one."""
    weight: float = 0.0
    max_rows: int = 0
    epoch: int | None = None
    """The epoch of the pointer that names this step; None until it does."""
    gated: bool = True
    """Whether it passed its gate; else a person let it through before the verdict."""


@dataclass(frozen=True)
class Promoting:
    """A challenger shall take the champion's place."""

    decision: str
    version: str
    champion: str | None
    since: datetime
    canaried: bool = False
    """Whether a canary is behind it."""
    gated: bool = True


@dataclass(frozen=True)
class Anchor:
    """What the clock showed when a machine had been up for so long; `boot` names its start."""

    at: datetime
    boot: str
    uptime_s: float


Phase: TypeAlias = (
    Watching | Retraining | Gating | AwaitingLabels | Shadowing | AwaitingApproval | Canarying | Promoting
)


@dataclass(frozen=True)
class Spent:
    """What a retrain took that made a version at that time."""

    at: datetime
    cpu_s: float = 0.0
    gpu_s: float = 0.0


@dataclass(frozen=True)
class State:
    """All that the next decision depends on."""

    pipeline: str
    phase: Phase = Watching()
    controller: int = 0
    """The epoch of the newest controller."""
    champion: str | None = None
    champion_epoch: int = 0
    rollback_epoch: int = 0
    """The epoch of the last rollback by a person."""
    exposed: str | None = None
    """The decision of which a canary, or what measures its challenger, may be left."""
    n_decisions: int = 0
    decided_at: tuple[datetime, ...] = ()
    """When retrains were decided, as far back as a day before the last one."""
    spent: tuple[Spent, ...] = ()
    """What retrains of the last day that made a version took."""
    ended_at: datetime | None = None
    """When the last verdict fell, or a person rolled back."""
    n_failures: int = 0
    """Retrains in a row that made no version."""
    n_unhelpful: int = 0
    """Retrains in a row whose version did not become the champion, as the gate or its rollout had it."""
    n_labels: int = 0
    """How many labels there were when the last retrain was decided."""
    lost: Lost | None = None
    """What a champion scored before it was harmed, and none after it was shown to be back at."""
    schedule: str | None = None
    schedule_from: datetime | None = None
    """Times of the schedule up to here are done with."""
    requested: RetrainRequested | None = None
    """What a person asked for and has not got yet."""
    requests: tuple[RetrainRequested, ...] = ()
    alerts: tuple[str, ...] = ()
    """Keys that were raised."""
    unsent: tuple[AlertRaised, ...] = ()
    clock: Anchor | None = None
    """What tells whether the clock was set since."""

    @property
    def next_decision(self) -> str:
        """The id of the next decision, which is also that of its job."""
        return f"{self.pipeline}-retrain-{self.n_decisions + 1}"

    @property
    def decision(self) -> str | None:
        """The id of the decision under way."""
        return None if isinstance(self.phase, Watching) else self.phase.decision


def rests_until(state: State, settings: RetrainingSettings) -> datetime | None:
    """Return the end of the cool-down after the last verdict; None where there was none.

    It doubles with each failure in a row, and with each retrain in a row that did not help but the first:
    that one may have come when few rows of the new world had labels.
    """
    if state.ended_at is None:
        return None
    longer = 2 ** min(state.n_failures + max(0, state.n_unhelpful - 1), MAX_DOUBLINGS)
    return state.ended_at + timedelta(seconds=settings.cool_down_s * longer)


def rested(state: State, now: datetime, settings: RetrainingSettings) -> bool:
    """Return whether the cool-down is over."""
    until = rests_until(state, settings)
    return until is None or now >= until


def cap_of(state: State, now: datetime, settings: RetrainingSettings) -> str | None:
    """Return which setting lets no further retrain begin, with what it allows; None where none does."""
    if sum(at > now - DAY for at in state.decided_at) >= settings.max_per_day:
        return f"{settings.max_per_day} in 24 hours are all that retraining.max_per_day allows"
    recent = [one for one in state.spent if one.at > now - DAY]
    for unit, most, took in (
        ("cpu", settings.max_cpu_s_per_day, sum(one.cpu_s for one in recent)),
        ("gpu", settings.max_gpu_s_per_day, sum(one.gpu_s for one in recent)),
    ):
        if most is not None and took >= most:
            spent = f"{took:.0f} {unit.upper()} seconds were spent"
            return f"{spent}, and retraining.max_{unit}_s_per_day is {most:g}"
    return None


def latest_time(state: State) -> datetime | None:
    """Return the latest time in the state; a clock that shows less went back."""
    return max(_times(state), default=None)


def _times(state: State) -> Iterator[datetime]:
    yield from state.decided_at
    if state.ended_at is not None:
        yield state.ended_at
    if state.schedule_from is not None:
        yield state.schedule_from
    if not isinstance(state.phase, Watching):
        yield state.phase.since
    if isinstance(state.phase, Retraining) and state.phase.stopping_since is not None:
        yield state.phase.stopping_since
