"""Harm: evidence that a version's loss has risen above what it was at release.

The loss of a row lies in [0, 1]. For classification it is 1 for a wrong class and 0 for the right one. For
regression it is the rank of the absolute error among those of the rows that the version was graded on, 1/2 on
average while errors are as large as they were: no scale has to be chosen, and one absurd label counts no more
than 1. The rank tells that errors grow, not by how much: the task's own metric says that.

No harm means a mean loss of at most `Release.bound`: an upper bound of the mean loss at release, which covers
what the graded rows do not know with probability 1 - delta, and a tolerance. While this holds for the mean of
each label given those before, the alarm `harmed` is ever given with probability at most alpha - delta. It
holds only if labels are taken in an order that does not depend on them: by matured cohorts of answers
(`raypipe.monitoring.labelled_life`), not as they arrive, since bad news may travel slower than good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.bets import Bets
from raypipe.stats.proportions import bounded_upper_bound, upper_bound
from raypipe.stats.starts import Started, log_life, log_recent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAX_RANKED = 2_000
"""Of so many graded rows at most the absolute errors are kept, drawn at random."""
_MOST = 0.99
"""No mean above this can be exceeded by much: a version that is always wrong cannot be harmed."""


@dataclass(frozen=True)
class Budget:
    """How many false alarms of harm one version may cost, and what is no harm."""

    alpha: float = 0.05
    """The probability that harm is ever called though there is none: a version's share of a budget."""
    reference_ratio: float = 0.2
    """The part of `alpha` that covers what the rows graded at release do not know."""
    tolerance: float = 0.01
    """By how much the mean loss may rise without harm, in [0, 1)."""
    run_length: int = 10_000
    """The updates that pass on average before a change is called though there is none."""

    @property
    def delta(self) -> float:
        return self.alpha * self.reference_ratio


@dataclass(frozen=True)
class Release:
    """The loss of a version as it was graded; above `bound` is harm."""

    mean: float
    bound: float
    errors: tuple[float, ...] = ()
    """For regression, the absolute errors to rank by, in increasing order; empty for classification."""

    @classmethod
    def of_classes(cls, n_wrong: int, n: int, budget: Budget) -> Release:
        """Return the release of a classifier that got `n_wrong` of `n` graded rows wrong, n > 0."""
        known = upper_bound(n_wrong, n, delta=budget.delta)
        return cls(n_wrong / n, min(_MOST, known + budget.tolerance))

    @classmethod
    def of_slice(cls, total: float, n: int, budget: Budget, *, n_slices: int, is_wrong: bool) -> Release:
        """Return the release of one of some slices, from the total loss of its `n` graded rows, n > 0.

        Its share of what the graded rows may hide is one of `n_slices`. Losses other than 0 and 1, where
        `is_wrong` is false, are bounded by their number alone (Hoeffding 1963).
        """
        delta = budget.delta / n_slices
        unknown = math.sqrt(math.log(1 / delta) / (2 * n))
        known = upper_bound(round(total), n, delta=delta) if is_wrong else total / n + unknown
        return cls(total / n, min(_MOST, known + budget.tolerance))

    @classmethod
    def of_losses(cls, losses: Floats, budget: Budget) -> Release:
        """Return the release of a version by any losses in [0, 1] of its graded rows."""
        known = bounded_upper_bound(losses, delta=budget.delta)
        return cls(float(losses.mean()), min(_MOST, known + budget.tolerance))

    @classmethod
    def of_amounts(cls, errors: Floats, budget: Budget, *, seed: int) -> Release:
        """Return the release of a regression by the errors of its graded rows, finite, of either sign.

        The rank of a further error among n of them has the mean 1/2, up to a deviation that is, at its most
        spread, the mean of n uniform draws, which are sub-Gaussian with variance 1/12 each: it is above
        sqrt(log(1 / delta) / (6 * n)) with probability at most delta.
        """
        import numpy as np

        absolute = np.abs(errors)
        if len(absolute) > MAX_RANKED:
            absolute = np.random.default_rng(seed).choice(absolute, MAX_RANKED, replace=False)
        unknown = math.sqrt(math.log(1 / budget.delta) / (6 * len(absolute)))
        bound = min(_MOST, 0.5 + unknown + budget.tolerance)
        return cls(0.5, bound, tuple(np.sort(absolute).tolist()))

    def ranks(self, errors: Floats) -> Floats:
        """Return the losses of a regression's errors: their share of release errors below, ties by half."""
        import numpy as np

        absolute, kept = np.abs(errors), np.array(self.errors)
        below, not_above = (np.searchsorted(kept, absolute, side=side) for side in ("left", "right"))
        return np.asarray((below + not_above) / (2 * len(kept)), np.float64)

    def bets(self, losses: Floats) -> Bets:
        """Return the additive evidence of some labelled rows, from their losses in [0, 1]."""
        return Bets.of(losses, self.bound)

    def to_json(self) -> Json:
        return {"mean": self.mean, "bound": self.bound, "errors": list(self.errors)}

    @classmethod
    def from_json(cls, value: Json) -> Release:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"mean": float(mean), "bound": float(bound), "errors": [*errors]}:
                return cls(mean, bound, tuple(_error(one) for one in errors))
            case _:
                raise SchemaError(f"A release must have mean, bound, errors. Got {value!r:.200}.")


@dataclass(frozen=True)
class HarmState:
    """The bets on a version's labelled rows since each test's start; equal after a restart."""

    tests: Started[Bets] = field(default_factory=Started)

    def to_json(self) -> Json:
        parts: list[Json] = [[start, part.to_json()] for start, part in self.tests.parts]
        return {"n_updates": self.tests.n_windows, "tests": parts}

    @classmethod
    def from_json(cls, value: Json) -> HarmState:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"n_updates": int(n), "tests": [*parts]}:
                return cls(Started(n, tuple(_part(one) for one in parts)))
            case _:
                raise SchemaError(f"A state of harm must have n_updates, tests. Got {value!r:.200}.")


@dataclass(frozen=True)
class Harm:
    """The evidence of harm; logs are natural."""

    n_labels: int
    mean: float | None
    """The mean loss of all labelled rows; None without any."""
    log_life: float
    log_recent: float
    harmed: bool
    """Called with a bounded probability of ever being wrong."""
    changed: bool
    """Called fast, and wrongly once in `run_length` updates on average."""


def update(state: HarmState, bets: Bets) -> HarmState:
    """Return the state after the labels of one update, the sum of its parts; none change nothing."""
    return HarmState(state.tests.after(bets)) if bets.n else state


def harm(state: HarmState, budget: Budget) -> Harm:
    """Say what the labels so far show."""
    whole = state.tests.whole
    if whole is None:
        return Harm(0, None, -math.inf, -math.inf, False, False)
    logs = [part.log_mean for _, part in state.tests.parts]
    life, recent = float(log_life(logs, state.tests.starts)), float(log_recent(logs))
    return Harm(
        n_labels=whole.n,
        mean=whole.mean,
        log_life=life,
        log_recent=recent,
        harmed=life >= math.log(1 / (budget.alpha - budget.delta)),
        changed=recent >= math.log(budget.run_length),
    )


def _part(value: Json) -> tuple[int, Bets]:
    match value:
        case [int(start), bets]:
            return start, Bets.from_json(bets)
        case _:
            raise SchemaError(f"A test must have a start and bets. Got {value!r:.200}.")


def _error(value: Json) -> float:
    if isinstance(value, float | int):
        return float(value)
    raise SchemaError(f"An error must be a number. Got {value!r:.100}.")
