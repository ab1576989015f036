"""Drift with a bounded number of false alarms: the evidence against each input over a version's whole life.

The live rows of each column, counted by the bins of its reference, are tested against all distributions that
the reference's rows may have come from, widened by a tolerance (`raypipe.stats.multinomial`); tests begun
again and again keep late changes visible (`raypipe.stats.starts`); e-BH decides over all columns together
(`raypipe.stats.many`). While rows are independent draws and nothing drifts, any alarm is ever given with
probability at most `alpha`, however often one looks. Rows that resemble their neighbours carry less evidence
than they seem to: `n_alike` divides their counts (see `raypipe.stats.alike`), which is approximate.

What lies beside it is faster and promises less: with columns `changed`, a version without drift goes
`run_length` windows on average until the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.monitoring.drift import Counts, effect
from raypipe.monitoring.reference import CategoryBins, Reference, ReferenceColumn
from raypipe.monitoring.report import FeatureDrift
from raypipe.stats.many import rejected
from raypipe.stats.multinomial import Against, radius
from raypipe.stats.starts import Started, log_life, log_recent, log_weight

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """How many false alarms one version may cost, and what is no drift."""

    alpha: float = 0.05
    """The probability that any column is ever called drifted though none is."""
    reference_ratio: float = 0.2
    """The part of `alpha` that covers what the reference's finite rows do not know."""
    tolerance: float = 0.02
    """The population stability index up to which a shift is harmless: 0.02 is a shift by 0.14 deviations."""
    run_length: int = 10_000
    """The windows that pass on average before a column is called changed though none is."""
    n_alike: float = 1.0
    """How many rows in a row tell as much as one: 1 where rows are independent."""


@dataclass(frozen=True)
class DriftState:
    """The counts of a version's live rows since each test's start; equal after a restart."""

    tests: Started[Counts] = field(default_factory=Started)

    def to_json(self) -> Json:
        parts: list[Json] = [[start, counted.to_json()] for start, counted in self.tests.parts]
        return {"n_windows": self.tests.n_windows, "tests": parts}

    @classmethod
    def from_json(cls, value: Json) -> DriftState:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"n_windows": int(n), "tests": [*parts]}:
                return cls(Started(n, tuple(_part(one) for one in parts)))
            case _:
                raise SchemaError(f"A state of drift must have n_windows, tests. Got {value!r:.200}.")


@dataclass(frozen=True)
class FeatureEvidence:
    """The evidence that one input has drifted, with its size.

    Logs are natural; of `life`, log(20) would be reached with a probability of 5% at most.
    """

    drift: FeatureDrift
    """Of the rows since the loudest test began; `drifted` is what e-BH decides over all columns."""
    log_life: float
    log_recent: float
    changed: bool
    since_window: int


def update(state: DriftState, counted: Counts) -> DriftState:
    """Return the state after one window, the sum of its parts; a window without rows changes nothing."""
    return DriftState(state.tests.after(counted)) if counted.n_rows else state


def evidence(
    reference: Reference, state: DriftState, budget: Budget, alike: Sequence[float] | None = None
) -> tuple[FeatureEvidence, ...]:
    """Return the evidence of each column of the reference, in its order; none before the first window.

    `alike` is, for each column, how many rows tell as much as one, of the reference's rows as of live ones.
    """
    parts = state.tests.parts
    if not parts or not reference.columns:
        return ()
    alike = [1.0] * len(reference.columns) if alike is None else alike
    logs = _log_evidence(reference, [counted for _, counted in parts], budget, alike)
    starts = state.tests.starts
    life, recent = log_life(logs, starts), log_recent(logs)
    drifted = rejected(life, math.log(1 / (budget.alpha * (1 - budget.reference_ratio))))
    changed = rejected(recent, math.log(budget.run_length))
    loudest = (logs + _weights(starts)[:, None]).argmax(0)
    return tuple(
        FeatureEvidence(
            drift=replace(effect(one, parts[loudest[i]][1].columns[i]), drifted=bool(drifted[i])),
            log_life=float(life[i]),
            log_recent=float(recent[i]),
            changed=bool(changed[i]),
            since_window=starts[loudest[i]],
        )
        for i, one in enumerate(reference.columns)
    )


def log_bound(n_columns: int, budget: Budget) -> float:
    """Return the log evidence from which on one column, were it alone with evidence, is called drifted."""
    return math.log(n_columns / (budget.alpha * (1 - budget.reference_ratio)))


def bound(one: ReferenceColumn, n_columns: int, budget: Budget, n_alike: float = 1.0) -> float:
    """Return the radius of a column's null hypothesis: the reference's error and the tolerance."""
    return radius(
        n_bins=len(compared(one, one.counts)),
        n_reference=one.n_rows / n_alike,
        delta=budget.alpha * budget.reference_ratio / n_columns,
        tolerance=budget.tolerance,
        n_choices=_n_choices(one),
    )


def compared(one: ReferenceColumn, counted: Sequence[int]) -> tuple[int, ...]:
    """Return the counts of a column by the bins that are compared.

    Where not every category has a bin, those without one and those never seen are one: how much is unseen
    among many rare ones, the reference cannot tell.
    """
    if isinstance(one.bins, CategoryBins) and one.bins.others:
        *own, others, unseen, missing = counted
        return (*own, others + unseen, missing)
    return tuple(counted)


def _n_choices(one: ReferenceColumn) -> float:
    """Return in how many ways the most frequent categories could have been others."""
    if not isinstance(one.bins, CategoryBins) or one.bins.others == ():
        return 1.0
    n_own = len(one.bins.own)
    n_known = one.n_rows if one.bins.others is None else n_own + len(one.bins.others)
    return float(math.comb(max(n_known, n_own), n_own))


def _log_evidence(
    reference: Reference, counted: Sequence[Counts], budget: Budget, alike: Sequence[float]
) -> Floats:
    """Return logs of e-values, shape (n_tests, n_columns)."""
    import numpy as np

    columns = reference.columns
    found = np.empty((len(counted), len(columns)))
    frozen_counts = [compared(one, one.counts) for one in columns]
    for width in {len(one) for one in frozen_counts}:
        at = [i for i, one in enumerate(frozen_counts) if len(one) == width]
        n_alike = np.array([[alike[i]] for i in at])
        frozen = np.array([frozen_counts[i] for i in at]) / n_alike
        live = np.array([[compared(columns[i], part.columns[i]) for i in at] for part in counted])
        bounds = [bound(columns[i], len(columns), budget, alike[i]) for i in at]
        found[:, at] = Against.of(frozen, bounds).log_evidence(live / (budget.n_alike * n_alike))
    return found


def _weights(starts: Sequence[int]) -> Floats:
    import numpy as np

    return np.array([log_weight(start) for start in starts])


def _part(value: Json) -> tuple[int, Counts]:
    match value:
        case [int(start), counted]:
            return start, Counts.from_json(counted)
        case _:
            raise SchemaError(f"A test must have a start and counts. Got {value!r:.200}.")
