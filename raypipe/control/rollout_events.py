"""What happens to a challenger between its gate and the champion's place, as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.control.happening import Happening, Verdict


@dataclass(frozen=True)
class ShadowStarted(Happening):
    """A challenger that passed its gate is asked what clients ask, unseen by them."""

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class ShadowJudged(Happening):
    """A shadow ended: with `pass` the challenger goes on."""

    decision: str
    version: str
    champion: str | None
    verdict: Verdict
    n_rows: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanaryStarted(Happening):
    """A challenger shall answer a part of the traffic, once it is known how many rows that may take."""

    decision: str
    version: str
    champion: str | None


@dataclass(frozen=True)
class CanaryStepped(Happening):
    """A canary goes on to a weight, for `max_rows` rows of clients at most; `reasons` let it come so far."""

    decision: str
    version: str
    step: int
    """From 0 on."""
    weight: float
    max_rows: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanarySet(Happening):
    """The pointer names the canary with a step's weight, under an epoch."""

    decision: str
    version: str
    step: int
    epoch: int


@dataclass(frozen=True)
class CanaryJudged(Happening):
    """A canary ended: with `pass` the challenger takes the champion's place, else that answers all again."""

    decision: str
    version: str
    champion: str | None
    verdict: Verdict
    n_rows: int
    """Rows of clients that it answered, as far as is known."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class RolloutEnded(Happening):
    """Nothing is left of a decision's shadow or canary."""

    decision: str
