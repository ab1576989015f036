"""What the answers of a version come to over its whole life, as far as its inputs go.

The log's order cuts rows into windows of equally many: how many rows come with a look, and where a restart
falls, changes nothing. What is kept adds up, and stays as small as `raypipe.stats.starts` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import add
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.monitoring.drift import Counts, counts_by_window
from raypipe.monitoring.drift_evidence import Budget, DriftState, evidence, log_bound, update
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import ColumnEvidence
from raypipe.stats.alike import Scatter

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

N_HEALTHY = 50
"""Windows that show how many rows are alike."""
DEFAULT_STEP_ROWS = 500
NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})
MIN_HEALTHY = 5
"""With fewer windows their scatter says too little, and rows count as independent."""


@dataclass(frozen=True)
class Life:
    """Counts of a version's answered rows, by the windows that are full and the one that fills."""

    drift: DriftState = field(default_factory=DriftState)
    filling: Counts | None = None
    scatter: tuple[Scatter, ...] = ()
    """Of the first windows, for each column."""

    def after(self, reference: Reference, rows: pa.Table, step_rows: int) -> Life:
        """Return the life with more rows, which have the reference's columns; windows have `step_rows`."""
        import numpy as np

        if not rows.num_rows or not reference.columns:
            return self
        n_before = 0 if self.filling is None else self.filling.n_rows
        window = (n_before + np.arange(rows.num_rows)) // step_rows
        counted = counts_by_window(reference, rows, window)
        if self.filling is not None:
            for of, before in zip(counted, self.filling.columns, strict=True):
                of[0] += before
        n_full = (n_before + rows.num_rows) // step_rows
        filling = _summed(counted, n_full) if n_full < len(counted[0]) else None
        return (
            self._after([of[:n_full] for of in counted], filling)
            if n_full
            else replace(self, filling=filling)
        )

    def _after(self, windows: Sequence[Places], filling: Counts | None) -> Life:
        """Return the life with windows that are full, shapes (n_windows, n_bins), and the one that fills."""
        n_healthy = max(0, N_HEALTHY - self.drift.tests.n_windows)
        scatter = [Scatter.of_all(of[:n_healthy]) for of in windows]
        tests = self.drift.tests.after_all(len(windows[0]), partial(_summed, windows))
        known = self.scatter or (Scatter(),) * len(scatter)
        return Life(DriftState(tests), filling, tuple(map(add, known, scatter)))

    @property
    def n_rows(self) -> int:
        """How many rows were counted."""
        whole = self._now.tests.whole
        return 0 if whole is None else whole.n_rows

    @property
    def _now(self) -> DriftState:
        return self.drift if self.filling is None else update(self.drift, self.filling)

    @property
    def alike(self) -> tuple[float, ...] | None:
        """How many rows tell as much as one, for each column; None while too few windows tell."""
        if self.drift.tests.n_windows < MIN_HEALTHY:
            return None
        return tuple(one.n_alike for one in self.scatter)

    def evidence(
        self, reference: Reference, budget: Budget, known: Mapping[str, float] = NOTHING_KNOWN
    ) -> tuple[ColumnEvidence, ...]:
        """Return the evidence that each column has drifted, from all rows, in the reference's order.

        `known` is how many rows are alike, by column, where rows of before have shown it. The first live
        windows tell it of the others, and are then taken to be healthy.
        """
        live = self.alike or (1.0,) * len(reference.columns)
        pairs = zip(reference.columns, live, strict=True)
        alike = [known.get(one.column.name, n) for one, n in pairs]
        needed = log_bound(max(1, len(reference.columns)), budget)
        found = evidence(reference, self._now, budget, alike)
        return tuple(
            ColumnEvidence(
                column=one.drift.column,
                psi=one.drift.psi,
                ks=one.drift.ks,
                n_rows=one.drift.n_rows,
                log_evidence=one.log_life,
                log_needed=needed,
                log_recent=one.log_recent,
                drifted=one.drift.drifted,
                changed=one.changed,
                n_alike=n_alike,
            )
            for one, n_alike in zip(found, alike, strict=bool(found))
        )

    def to_json(self) -> Json:
        return {
            "drift": self.drift.to_json(),
            "filling": None if self.filling is None else self.filling.to_json(),
            "scatter": [[one.n_windows, list(one.totals), list(one.squares)] for one in self.scatter],
        }

    @classmethod
    def from_json(cls, value: Json) -> Life:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"drift": drift, "filling": filling, "scatter": [*scatter]}:
                counted = None if filling is None else Counts.from_json(filling)
                return cls(DriftState.from_json(drift), counted, tuple(map(_scatter, scatter)))
            case _:
                raise SchemaError(f"A life must have drift, filling, scatter. Got {value!r:.200}.")


def alike_in_order(reference: Reference, rows: pa.Table) -> dict[str, float]:
    """Return how many rows in a row tell as much as one, by column, of rows in their order of time.

    From windows as those of live rows; empty where there are too few.
    """
    life = Life().after(reference, rows, DEFAULT_STEP_ROWS)
    if life.alike is None:
        return {}
    return {one.column.name: n for one, n in zip(reference.columns, life.alike, strict=True)}


def _summed(windows: Sequence[Places], start: int) -> Counts:
    """Return the sums of windows from one on, for each column."""
    return Counts(tuple(tuple(of[start:].sum(axis=0).tolist()) for of in windows))


def _scatter(value: Json) -> Scatter:
    try:
        return Scatter(*msgspec.convert(value, tuple[int, tuple[int, ...], tuple[int, ...]]))
    except msgspec.ValidationError as error:
        raise SchemaError(
            f"A scatter must be a number and two lists: {error}. Got {value!r:.200}."
        ) from error
