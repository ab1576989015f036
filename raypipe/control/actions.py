"""What the controller's shell shall do, in the imperative.

The shell does them in order, and may be made to do each again: after a crash, after a time-out. So each is
done so that a second time finds the first (a job by its id, a release by the version that serves).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from raypipe.control.events import Evidence, Fact, Trigger


@dataclass(frozen=True)
class Record:
    """Append a fact to the ledger, before anything after it is done."""

    fact: Fact


@dataclass(frozen=True)
class SubmitRetrain:
    """Start the job whose submission id is the decision, or find it there; then say `RetrainSubmitted`."""

    decision: str
    reason: Trigger
    evidence: Evidence


@dataclass(frozen=True)
class FollowRetrain:
    """Watch the job of a decision until it ends; say `RetrainSucceeded`, `RetrainFailed` or `RetrainLost`."""

    decision: str


@dataclass(frozen=True)
class StopRetrain:
    """Stop the job of a decision; say how it ended, as if it had been followed."""

    decision: str


@dataclass(frozen=True)
class JudgeChallenger:
    """Compare a version with the champion on the same labelled rows; say `GateJudged` or `GateContinued`."""

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class WatchGate:
    """See that a process of its own scores a challenger and the champion on rows that are labelled now."""

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class AskApproval:
    """Tell people, under the key `<decision>/approval`, that a version waits for their word."""

    decision: str
    version: str
    until: datetime


@dataclass(frozen=True)
class Promote:
    """Release a version in the place of `champion`, unless another took it; say how it went.

    That is `Promoted` or `PromotionFailed`. Where the version is the champion already, as after a crash,
    only see that the endpoint follows.
    """

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class WatchRollout:
    """See that a process of its own measures a challenger beside the champion on live traffic."""

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class SetCanary:
    """Let a version answer a part of the traffic beside `champion`; say `CanarySet` or `CanaryJudged`."""

    decision: str
    version: str
    champion: str | None
    step: int
    weight: float
    max_rows: int


@dataclass(frozen=True)
class EndRollout:
    """Let no canary answer any more, and end what measured its challenger; say `RolloutEnded`."""

    decision: str


@dataclass(frozen=True)
class Reject:
    """Leave a version unreleased."""

    decision: str
    version: str
    why: str


@dataclass(frozen=True)
class SendAlert:
    """Tell the log and the webhook, under a key that tells repetitions; say `AlertSent` once both have it."""

    key: str
    text: str
    evidence: Evidence


Action: TypeAlias = (
    Record
    | SubmitRetrain
    | FollowRetrain
    | StopRetrain
    | JudgeChallenger
    | WatchGate
    | AskApproval
    | Promote
    | WatchRollout
    | SetCanary
    | EndRollout
    | Reject
    | SendAlert
)
