"""What the answers of a version come to over its whole life, as far as its inputs go.

The log's order cuts rows into windows of equally many: how many rows come with a look, and where a restart
falls, changes nothing. What is kept adds up, and stays as small as `raypipe.stats.starts` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    import pyarrow as pa

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

        if not rows.num_rows:
            return self
        n_before = 0 if self.filling is None else self.filling.n_rows
        window = (n_before + np.arange(rows.num_rows)) // step_rows
        first, *others = counts_by_window(reference, rows, window)
        return self._after([first if self.filling is None else self.filling + first, *others], step_rows)

    def _after(self, windows: Iterable[Counts], step_rows: int) -> Life:
        drift, filling, scatter = self.drift, None, self.scatter
        for one in windows:
            if one.n_rows < step_rows:
                filling = one
                continue
            if drift.tests.n_windows < N_HEALTHY:
                scatter = _scattered(scatter, one)
            drift = update(drift, one)
        return Life(drift, filling, scatter)

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


def _scattered(scatter: Sequence[Scatter], window: Counts) -> tuple[Scatter, ...]:
    more = [Scatter.of(one) for one in window.columns]
    return tuple(a + b for a, b in zip(scatter, more, strict=True)) if scatter else tuple(more)


def _scatter(value: Json) -> Scatter:
    try:
        return Scatter(*msgspec.convert(value, tuple[int, tuple[int, ...], tuple[int, ...]]))
    except msgspec.ValidationError as error:
        raise SchemaError(
            f"A scatter must be a number and two lists: {error}. Got {value!r:.200}."
        ) from error
