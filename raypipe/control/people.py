"""What people say to the controller: written to the ledger, where the controller reads it."""

from __future__ import annotations

from raypipe.control.events import Approved, Rejected, RetrainRequested
from raypipe.control.ledger import fold, record
from raypipe.control.state import AwaitingApproval, AwaitingLabels, Canarying, Shadowing, State
from raypipe.core.clock import Clock
from raypipe.core.errors import RegistryError
from raypipe.policy.config import RetrainAction
from raypipe.registry.store import Registry


def request_retrain(
    registry: Registry,
    pipeline: str,
    clock: Clock,
    *,
    by: str,
    note: str = "",
    action: RetrainAction = "retrain",
) -> None:
    """Ask for a retrain, or for what is like one; the controller starts it when it rests."""
    record(registry, pipeline, RetrainRequested(clock.now(), by, note, action))


def answer(
    registry: Registry, pipeline: str, clock: Clock, version: str, *, approved: bool, by: str, note: str = ""
) -> None:
    """Approve or reject a challenger; raises RegistryError for one that does not wait for an answer.

    One whose gate waits for labels can be approved or rejected before the verdict; one that is in a shadow or
    canary can be rejected too.
    """
    phase = read_state(registry, pipeline).phase
    may = AwaitingApproval | AwaitingLabels
    if not approved:
        may |= Shadowing | Canarying
    if not isinstance(phase, may) or phase.version != version:
        waiting = phase.version if isinstance(phase, AwaitingApproval) else "none"
        raise RegistryError(
            f"VERSION must be the challenger that waits for approval ({waiting} of {pipeline} does). "
            f"Got {version!r}."
        )
    kind = Approved if approved else Rejected
    record(registry, pipeline, kind(clock.now(), version, by, note))


def read_state(registry: Registry, pipeline: str) -> State:
    """Return what the ledger folds to."""
    return fold(registry.history(pipeline, None), pipeline)
