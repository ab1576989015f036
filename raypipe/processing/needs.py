"""What a fit reads of each column's profile: the rest need not be made where only a fit is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raypipe.data.profile import Part
from raypipe.data.schema import Column
from raypipe.processing.choose import chosen
from raypipe.processing.column_settings import CategoricalStep, DateStep, KindStep, NumericStep
from raypipe.processing.config import ProcessingSettings


def needed_parts(columns: Sequence[Column], processing: ProcessingSettings) -> Mapping[str, frozenset[Part]]:
    """Return which parts of each column's profile `fit_transform` asks for; raises ConfigError."""
    return {column.name: _of(chosen(column, processing)) for column in columns}


def _of(settings: KindStep) -> frozenset[Part]:
    match settings:
        case DateStep():
            return frozenset()
        case CategoricalStep():
            return frozenset({"values"})
        case NumericStep(bins=None, impute="mode"):
            # Of very many distinct values the quantiles say which is taken for the most frequent.
            return frozenset({"values", "quantiles"})
        case NumericStep():
            return frozenset({"quantiles"}) if _by_quantiles(settings) else frozenset()


def _by_quantiles(settings: NumericStep) -> bool:
    if settings.clip is not None:
        return True
    if settings.bins is not None:
        return settings.bins.by == "quantile"
    return settings.impute == "median" or settings.scale == "robust" or settings.transform != "none"
