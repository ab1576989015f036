"""What the controller is told, in the past tense.

Two kinds. *Observations* (`WindowScored`, `Ticked`, `GateScored`, `RolloutScored`) come all the time and
change nothing by themselves; they are not kept. *Facts* are kept in the ledger, each says all that the state
must know, and so the state folds from them without the settings of the day, or the rules of the version of
raypipe that decided.

`controller` is the epoch of the controller that wrote a fact; what an older controller still writes is
passed over. It is None where a person's command wrote it, straight to the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import msgspec

from raypipe.control.clock_events import ClockJumped, ClockSetBack
from raypipe.control.expected_cost import ExpectedCost
from raypipe.control.happening import Happening, Measured, Verdict
from raypipe.control.level import Level
from raypipe.control.rollout_events import (
    CanaryJudged,
    CanarySet,
    CanaryStarted,
    CanaryStepped,
    RolloutEnded,
    ShadowJudged,
    ShadowStarted,
)
from raypipe.core.errors import RegistryError
from raypipe.core.ids import Json
from raypipe.monitoring.decay import Decay
from raypipe.policy.config import RetrainAction, SetTrigger

if TYPE_CHECKING:
    from raypipe.control.gate_evidence import GateEvidence
    from raypipe.control.rollout_evidence import RolloutEvidence

Trigger = Literal["hand"] | SetTrigger
POLICY = "policy"
"""Who approves or rejects where no person did."""


@dataclass(frozen=True)
class Quality(Measured):
    """A version's live score with its 95% interval; None where the labelled rows do not define it."""

    metric: str
    larger_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    n_labels: int

    def surely_beyond(self, bound: float) -> bool:
        """Return whether the whole interval, or the score where there is none, is worse than a bound."""
        if self.value is None:
            return False
        end = self.high if self.larger_is_better else self.low
        best = self.value if end is None else end
        return best < bound if self.larger_is_better else best > bound


@dataclass(frozen=True)
class Harm(Measured):
    """A version's mean loss on matured labels, surely above what it may be by its release.

    The loss is 1 for a wrong class, or the rank of an error among those at release, 1/2 on average there.
    """

    loss: float | None
    at_release: float
    bound: float
    n_labels: int
    slices: tuple[str, ...] = ()
    """Of which slices that is so; empty where it is so of all answers together."""


@dataclass(frozen=True)
class Gain(Measured):
    """How much better the challenger is, in the task's metric, with its 95% interval: positive is better."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evidence(Measured):
    """What was known when a retrain was decided; what played no part is None or empty."""

    n_labels: int | None = None
    n_new_labels: int | None = None
    """Labels since the last retrain."""
    quality: Quality | None = None
    quality_bound: float | None = None
    drifted: tuple[str, ...] = ()
    harm: Harm | None = None
    scheduled_for: datetime | None = None
    by: str | None = None
    note: str = ""
    cost: ExpectedCost | None = None
    level: Level | None = None
    """What the harmed champion scored at release; without `harm`, what a harmed one before it did."""


@dataclass(frozen=True)
class WindowScored(Happening):
    """Live traffic was measured; `n_labels` counts all labelled predictions there are."""

    version: str
    n_labels: int
    quality: Quality | None = None
    drifted: tuple[str, ...] = ()
    harm: Harm | None = None
    """None while there is no evidence of harm that counts."""
    decay: Decay | None = None
    """None while too few labels tell of it."""
    level: Level | None = None
    """The version's score at release; None where it is not known."""


@dataclass(frozen=True)
class Ticked(Happening):
    """Time went on; `n_labels` is the last count of labelled predictions, None where none was made yet."""

    n_labels: int | None = None


@dataclass(frozen=True)
class RolloutScored(Happening):
    """A challenger in a shadow or canary was measured beside the champion, all in all."""

    decision: str
    evidence: RolloutEvidence


@dataclass(frozen=True)
class GateScored(Happening):
    """A challenger and the champion were scored on rows whose labels came after the gate's first look."""

    decision: str
    evidence: GateEvidence


@dataclass(frozen=True)
class ControllerStarted(Happening):
    """A controller took over, under an epoch that no controller had before."""

    epoch: int
    champion: str | None = None
    champion_epoch: int = 0
    schedule: str | None = None
    """The cron text in force; times of a new one count from here."""
    boot: str = ""
    """Names the start of its machine."""
    uptime_s: float | None = None
    """How long that had been up."""


@dataclass(frozen=True)
class RetrainRequested(Happening):
    """A person asked for a retrain."""

    by: str
    note: str = ""
    action: RetrainAction = "retrain"


@dataclass(frozen=True)
class RetrainDecided(Happening):
    """A retrain shall be; nothing has been started yet."""

    decision: str
    trigger: Trigger
    evidence: Evidence
    champion: str | None
    action: RetrainAction = "retrain"


@dataclass(frozen=True)
class RetrainSubmitted(Happening):
    """The job of a decision exists."""

    decision: str


@dataclass(frozen=True)
class RetrainTimedOut(Happening):
    """A retrain ran longer than it may, and is being stopped."""

    decision: str


@dataclass(frozen=True)
class RetrainSucceeded(Happening):
    """A retrain made a version."""

    decision: str
    version: str
    data_version: str
    champion_data_version: str | None = None
    family: str = ""
    params: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    cost_cpu_s: float | None = None
    note: str = ""
    """Why another action was taken than was decided; empty where it was not."""
    cost_gpu_s: float | None = None
    """GPUs times the seconds for which trials held them."""


@dataclass(frozen=True)
class RetrainFailed(Happening):
    """A retrain ended without a version."""

    decision: str
    reason: str


@dataclass(frozen=True)
class RetrainLost(Happening):
    """Nothing knows the job of a decision any more."""

    decision: str


@dataclass(frozen=True)
class GateJudged(Happening):
    """A challenger was compared with the champion on the same labelled rows."""

    decision: str
    version: str
    champion: str | None
    """The champion that it was compared with; a verdict over another than the present one counts nothing."""
    verdict: Verdict
    n_rows: int
    metric: str = ""
    champion_score: float | None = None
    challenger_score: float | None = None
    gain: Gain | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateContinued(Happening):
    """The gate's first look was inconclusive: rows whose labels come later go on to judge."""

    decision: str
    version: str
    champion: str | None
    n_rows: int
    metric: str = ""
    champion_score: float | None = None
    challenger_score: float | None = None
    gain: Gain | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Approved(Happening):
    """A person, or the policy, let a challenger become the champion."""

    version: str
    by: str
    note: str = ""


@dataclass(frozen=True)
class Rejected(Happening):
    """A person, or the policy, decided against a challenger."""

    version: str
    by: str
    note: str = ""


@dataclass(frozen=True)
class Promoted(Happening):
    """The endpoint answers with the challenger, now the champion, under the epoch of its release."""

    decision: str
    version: str
    epoch: int


@dataclass(frozen=True)
class PromotionFailed(Happening):
    """A challenger could not become the champion: the endpoint refused it, or another release was faster."""

    decision: str
    version: str
    reason: str


@dataclass(frozen=True)
class RolledBack(Happening):
    """A person went back to an earlier version, under the epoch of that release."""

    version: str
    epoch: int
    by: str


@dataclass(frozen=True)
class ChampionChanged(Happening):
    """The alias `champion` moved, by whatever hand; read from the registry's own entry."""

    version: str
    epoch: int


@dataclass(frozen=True)
class AlertRaised(Happening):
    """Something deserves a person's look; raised once for each key."""

    key: str
    text: str
    evidence: Evidence


@dataclass(frozen=True)
class AlertSent(Happening):
    """An alert reached the log and the webhook."""

    key: str


Observation: TypeAlias = WindowScored | Ticked
Fact: TypeAlias = (
    ControllerStarted
    | ClockSetBack
    | ClockJumped
    | RetrainRequested
    | RetrainDecided
    | RetrainSubmitted
    | RetrainTimedOut
    | RetrainSucceeded
    | RetrainFailed
    | RetrainLost
    | GateJudged
    | GateContinued
    | Approved
    | Rejected
    | ShadowStarted
    | ShadowJudged
    | CanaryStarted
    | CanaryStepped
    | CanarySet
    | CanaryJudged
    | RolloutEnded
    | Promoted
    | PromotionFailed
    | RolledBack
    | ChampionChanged
    | AlertRaised
    | AlertSent
)
Event: TypeAlias = Observation | RolloutScored | GateScored | Fact

EVENTS: tuple[type[Event], ...] = get_args(Event)


def kind_of(event: Event) -> str:
    """Return the event's kind: its class name in snake case.

    >>> from datetime import UTC
    >>> kind_of(RetrainLost(datetime(2026, 1, 1, tzinfo=UTC), "flights-retrain-1"))
    'retrain_lost'
    """
    return _kind(type(event))


def to_json(event: Event) -> Json:
    """Return plain JSON values that `from_json` reads back to an equal event."""
    return cast("Json", msgspec.to_builtins(event))


def from_json(kind: str, value: Json) -> Event:
    """Read what `to_json` wrote; raises RegistryError for an unknown kind and for what is not of its form."""
    if kind not in _CLASSES:
        raise RegistryError(f"the kind of an event must be one of {', '.join(_CLASSES)}. Got {kind!r}.")
    try:
        return msgspec.convert(value, _CLASSES[kind])
    except msgspec.ValidationError as error:
        raise RegistryError(
            f"an event {kind} in the ledger must be as raypipe wrote it: {error}. Got {str(value)[:200]}; "
            "it was written by another version of raypipe, or changed by hand."
        ) from error


def _kind(event: type[Event]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()


_CLASSES: Mapping[str, type[Event]] = {_kind(event): event for event in EVENTS}
