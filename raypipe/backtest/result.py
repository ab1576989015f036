"""What a backtest found: for each policy its fits, its score, how much better it is than never, its cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from raypipe.backtest.play import Played, answered_by_all
from raypipe.backtest.stream import Stream
from raypipe.core.ids import Json
from raypipe.monitoring.harm import Release
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.stats.paired import paired

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from raypipe.control.receipts import Receipt
    from raypipe.policy.config import CostSettings
    from raypipe.training.task import Task

    Floats = NDArray[np.float64]
    Target = NDArray[np.int64] | Floats


@dataclass(frozen=True)
class Decision:
    """One retrain that the loop decided, and its ending."""

    at: datetime
    trigger: str
    version: str | None
    family: str
    n_judged: int
    gain: Interval | None
    """Of the challenger; positive is better. Where later rows judged on, that of the first look."""
    ending: str
    reason: str

    @classmethod
    def of(cls, receipt: Receipt) -> Decision:
        looks = [look for look in (receipt.gate, receipt.first_look) if look is not None]
        found = next((look.gain for look in looks if look.gain is not None), None)
        ends = () if found is None else (found.value, found.low, found.high)
        gain = Interval(*(math.nan if end is None else end for end in ends)) if ends else None
        return cls(
            receipt.decided_at,
            receipt.trigger,
            receipt.version,
            receipt.family,
            sum(look.n_rows for look in looks),
            gain,
            receipt.ending,
            receipt.reason,
        )

    def to_json(self) -> Json:
        return {
            "at": self.at.isoformat(),
            "trigger": self.trigger,
            "version": self.version,
            "family": self.family,
            "n_judged": self.n_judged,
            "gain": None if self.gain is None else self.gain.to_json(),
            "ending": self.ending,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class PolicyResult:
    """What a policy came to over all rows that were played."""

    name: str
    n_fits: int
    """After the first champion's, which all policies share."""
    n_released: int
    n_failed: int
    score: Interval
    over_never: Interval
    """How much better it is than never to retrain, paired; positive is better, whatever the metric."""
    cpu_s: float
    """Of the fits; what else a look costs is left out."""
    cost: float | None = None
    """By `retraining.triggers.cost`: of all losses and fits, the first champion's left out; None without."""
    decisions: tuple[Decision, ...] = ()
    """Of the loop alone."""

    @property
    def endings(self) -> dict[str, int]:
        """How many decisions ended how."""
        return dict(Counter(one.ending for one in self.decisions))

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "n_fits": self.n_fits,
            "n_released": self.n_released,
            "n_failed": self.n_failed,
            "score": self.score.to_json(),
            "over_never": self.over_never.to_json(),
            "cpu_s": round(self.cpu_s, 3),
            "cost": self.cost,
            "decisions": [one.to_json() for one in self.decisions],
        }


@dataclass(frozen=True)
class BacktestResult:
    """All policies over the same rows; the loop's own first."""

    pipeline: str
    data_version: str
    metric: str
    larger_is_better: bool
    first_family: str
    starts_at: datetime
    """When the first row was played."""
    ends_at: datetime
    n_history: int
    n_rows: int
    """How many rows were played, answered by all and scored."""
    n_looks: int
    label_delay: str
    policies: tuple[PolicyResult, ...]

    def to_json(self) -> Json:
        return {
            "pipeline": self.pipeline,
            "data_version": self.data_version,
            "metric": self.metric,
            "larger_is_better": self.larger_is_better,
            "first_family": self.first_family,
            "starts_at": self.starts_at.isoformat(),
            "ends_at": self.ends_at.isoformat(),
            "n_history": self.n_history,
            "n_rows": self.n_rows,
            "n_looks": self.n_looks,
            "label_delay": self.label_delay,
            "policies": [one.to_json() for one in self.policies],
        }


@dataclass(frozen=True)
class Prices:
    """What a row of loss 1 and a fit cost; of amounts, a loss is an error's rank among some at release."""

    settings: CostSettings
    errors: tuple[float, ...] = ()
    """Absolute errors in increasing order; empty for classification."""

    def cost(self, y: Target, given: Floats, n_fits: int) -> float:
        """Return what the answers and the fits cost, in the unit of the prices."""
        ranks = Release(0.5, 0.5, self.errors).ranks
        losses = ranks(given - y) if self.errors else given.argmax(axis=1) != y
        return float(losses.sum()) * self.settings.loss + n_fits * self.settings.retrain


def results(
    stream: Stream, played: Sequence[Played], task: Task, seed: int, prices: Prices | None = None
) -> tuple[PolicyResult, ...]:
    """Score the policies on the rows that all of them answered; one is called never."""
    import pyarrow as pa

    values, used = answered_by_all(played, task)
    y = task.encode(stream.played[task.label].filter(pa.array(used)))
    answers = {name: given[used] for name, given in values.items()}
    found = paired(METRICS[task.metric], y, answers, seed=seed)
    return tuple(
        PolicyResult(
            one.name,
            one.n_fits,
            _n_released(one),
            one.n_failed,
            found.score(one.name),
            found.gain(one.name, over="never"),
            one.cpu_s,
            None if prices is None else prices.cost(y, answers[one.name], one.n_fits),
            tuple(map(Decision.of, one.decisions or ())),
        )
        for one in played
    )


def _n_released(played: Played) -> int:
    if played.decisions is None:
        return played.n_fits
    return sum(one.ending == "promoted" for one in played.decisions)
