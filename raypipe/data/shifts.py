"""How the values of each column have moved between two profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from raypipe.core.ids import Json
from raypipe.data.profile import ColumnProfile, Profile
from raypipe.stats.shift import number_bins, psi, value_bins

N_NUMBER_BINS = 10
N_CATEGORY_BINS = 15
QUANTILES = (0.25, 0.5, 0.75)
Measure: TypeAlias = "tuple[float | None, float | None]"
"""What something was before, and what it is after; None without values."""


@dataclass(frozen=True)
class ColumnShift:
    """One column before and after.

    `psi` is that of `raypipe.stats.shift`, over tenths of the values before (or its most frequent ones), with
    a bin for missing values; of times only whether they are missing counts, since they move on by themselves.
    """

    column: str
    missing_ratio: Measure
    mean: Measure
    quantiles: Mapping[str, Measure]
    psi: float | None
    """None where one side has no rows."""

    def to_json(self) -> Json:
        return asdict(self)


def shifts(before: Profile, after: Profile) -> tuple[ColumnShift, ...]:
    """Return how far each column that both have has moved, in the order of `before`."""
    both = [name for name in before.names if name in after.names]
    return tuple(_shift(before[name], after[name]) for name in both)


def _shift(before: ColumnProfile, after: ColumnProfile) -> ColumnShift:
    is_time = before.column.kind == "timestamp"
    return ColumnShift(
        column=before.name,
        missing_ratio=(_missing_ratio(before), _missing_ratio(after)),
        mean=(None, None) if is_time else (before.mean, after.mean),
        quantiles={f"{q:g}": (before.quantile(q), after.quantile(q)) for q in QUANTILES},
        psi=_psi(before, after),
    )


def _psi(before: ColumnProfile, after: ColumnProfile) -> float | None:
    first, last = _bins(before, after)
    return psi((*last, _n_missing(after)), (*first, _n_missing(before)))


def _bins(before: ColumnProfile, after: ColumnProfile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    kinds = {before.column.kind, after.column.kind}
    if kinds == {"category"}:
        return value_bins(before.values, after.values, N_CATEGORY_BINS)
    if kinds & {"category", "timestamp"}:
        return (before.n_rows - _n_missing(before),), (after.n_rows - _n_missing(after),)
    return number_bins(before.quantiles, after.quantiles, N_NUMBER_BINS)


def _n_missing(profile: ColumnProfile) -> int:
    return profile.n_missing + profile.n_infinite


def _missing_ratio(profile: ColumnProfile) -> float | None:
    return profile.n_missing / profile.n_rows if profile.n_rows else None
