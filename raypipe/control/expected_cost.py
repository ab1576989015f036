"""What a person's prices say of a version's decay: whether to keep it costs more than to retrain."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.monitoring.decay import Decay
from raypipe.policy.config import MAX_DOUBLINGS, CostSettings


@dataclass(frozen=True)
class ExpectedCost:
    """A decay at two prices, in a unit of the person's own."""

    decay: Decay
    loss: float
    """What a row costs whose loss is 1."""
    retrain: float
    """What a retrain costs."""
    n_unhelpful: int = 0
    """Retrains in a row that did not help: each doubles what another must be worth, up to 64 times."""

    @property
    def at_stake(self) -> float:
        """What a retrain is worth, in the unit of the prices."""
        return self.decay.at_stake * self.loss

    @property
    def needed(self) -> float:
        """What it must be worth."""
        return float(self.retrain * 2 ** min(self.n_unhelpful, MAX_DOUBLINGS))

    @property
    def gain(self) -> float:
        """What a retrain that brings the loss back to its level is expected to save, beyond its price."""
        return self.at_stake - self.retrain

    @property
    def asks(self) -> bool:
        return self.at_stake >= self.needed

    @property
    def text(self) -> str:
        """What was measured, and at which prices, in a line."""
        seen = self.decay
        before = "" if seen.loss_before is None else f", {seen.loss_before:.4g} before"
        amount = f"a retrain is worth {self.at_stake:.4g} and costs {self.retrain:.4g}"
        more = (
            "" if self.n_unhelpful == 0 else f" ({self.n_unhelpful} did not help: {self.needed:.4g} needed)"
        )
        return (
            f"mean loss {seen.loss_since:.4g} of the last {seen.n_since:,} of {seen.n_rows:,} rows{before}, "
            f"{seen.at_release:.4g} at release; {amount}{more}"
        )


def expected_cost(decay: Decay, prices: CostSettings, n_unhelpful: int) -> ExpectedCost:
    """Return a decay at the prices of the config."""
    return ExpectedCost(decay, prices.loss, prices.retrain, n_unhelpful)
