"""Fitting the step of a number column from its profile."""

from __future__ import annotations

import math

import numpy as np

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.column_settings import BinSettings, NumericStep
from raypipe.processing.elementary import log, log1p
from raypipe.processing.points import ClipBounds, Floats, Points, clip_bounds
from raypipe.processing.report import StepFit
from raypipe.processing.steps.number import FittedBins, FittedNumber, transformed

_COARSE = np.arange(-8, 17) / 4
"""Exponents of Yeo and Johnson's transform that are tried first: -2 to 4."""
_FINE = np.arange(-25, 26) / 100


def fit_number(profile: ColumnProfile, column: Column, settings: NumericStep) -> StepFit:
    """Return the step for a number column that has finite values."""
    bounds = _bounds(profile, settings)
    if settings.bins is not None:
        return _fit_bins(profile, column, settings, settings.bins, bounds)
    exponent = _exponent(profile, settings, bounds)
    centre, reciprocal = _scale(profile, settings, bounds, exponent)
    step = FittedNumber(
        column,
        fill=_fill(profile, settings),
        low=bounds.low,
        high=bounds.high,
        centre=centre,
        reciprocal=reciprocal,
        indicator=settings.indicator and profile.n_missing > 0,
        clip=settings.clip is not None,
        transform=settings.transform,
        exponent=exponent,
    )
    return StepFit(
        step, _sentence(step, settings), {**_changed(profile, bounds), "filled": profile.n_missing}
    )


def _changed(profile: ColumnProfile, bounds: ClipBounds) -> dict[str, int]:
    return {"infinite": profile.n_infinite, "clipped": bounds.n_clipped}


def _bounds(profile: ColumnProfile, settings: NumericStep) -> ClipBounds:
    assert profile.min is not None and profile.max is not None
    if settings.clip is None:
        return ClipBounds(profile.min, profile.max, 0)
    return clip_bounds(profile.quantiles, *settings.clip)


def _fill(profile: ColumnProfile, settings: NumericStep) -> float:
    match settings.impute:
        case "constant":
            return settings.value
        case "mean":
            fill = profile.mean
        case "mode":
            fill = _mode(profile)
        case "median":
            fill = profile.quantile(0.5)
    assert fill is not None
    return fill


def _mode(profile: ColumnProfile) -> float:
    """Return the most frequent value; of very many distinct ones, the middle of the fullest range."""
    if profile.values.is_exact:
        return float(profile.values.top(1)[0][0])
    return Points.of(profile.quantiles).fullest


def _exponent(profile: ColumnProfile, settings: NumericStep, bounds: ClipBounds) -> float:
    if settings.transform == "power":
        return settings.power
    if settings.transform == "yeo_johnson":
        return best_exponent(_points(profile, bounds))
    return 1.0


def best_exponent(points: Points) -> float:
    """Return the lambda in [-2.25, 4.25], to 0.01, for which the transformed points are nearest to normal.

    By the likelihood of Yeo and Johnson (2000); 1, which changes nothing, where it is nowhere finite.
    """
    logs = points.total(np.copysign(log1p(np.abs(points.values)), points.values))

    def likelihood(exponent: float) -> float:
        made = points.after(lambda x: transformed(x, "yeo_johnson", exponent))
        deviation = made.deviation
        if not 0 < deviation < math.inf:
            return -math.inf
        return (exponent - 1) * logs - float(log(np.array([deviation]))[0])

    coarse = max(_COARSE.tolist(), key=likelihood)
    best = max((round(coarse + step, 2) for step in _FINE.tolist()), key=likelihood)
    return float(best) if math.isfinite(likelihood(best)) else 1.0


def _points(profile: ColumnProfile, bounds: ClipBounds) -> Points:
    return Points.of(profile.quantiles).after(lambda x: np.clip(x, bounds.low, bounds.high))


def _scale(
    profile: ColumnProfile, settings: NumericStep, bounds: ClipBounds, exponent: float
) -> tuple[float, float]:
    """Return centre and reciprocal, of the values after clipping and transforming."""

    def after(values: Floats) -> Floats:
        return transformed(np.clip(values, bounds.low, bounds.high), settings.transform, exponent)

    low, high = after(np.array([bounds.low, bounds.high])).tolist()
    largest = max(abs(low), abs(high))
    match settings.scale:
        case "none":
            return 0.0, 1.0
        case "minmax":
            return low, _reciprocal(high - low, largest)
        case "standard":
            centre, deviation = _moments(profile, settings, bounds, exponent)
            return centre, _reciprocal(deviation, largest)
        case "robust":
            quartiles = [profile.quantile(q) or 0.0 for q in (0.25, 0.5, 0.75)]
            first, centre, third = after(np.array(quartiles)).tolist()
            spread = third - first or _moments(profile, settings, bounds, exponent)[1]
            return centre, _reciprocal(spread, largest)


def _moments(
    profile: ColumnProfile, settings: NumericStep, bounds: ClipBounds, exponent: float
) -> tuple[float, float]:
    """Return mean and deviation: exact ones, or where values are changed before, those of the points."""
    mean, variance = profile.mean, profile.variance
    assert mean is not None and variance is not None
    if settings.clip is None and settings.transform == "none":
        return mean, math.sqrt(variance)
    made = _points(profile, bounds).after(lambda x: transformed(x, settings.transform, exponent))
    return made.mean, made.deviation


def _reciprocal(spread: float, largest: float) -> float:
    """Return 1/spread; 1 for a constant, 1/largest where the squares pass float64."""
    if math.isinf(spread):
        spread = largest
    reciprocal = 1 / spread if spread > 0 else 1.0
    return reciprocal if math.isfinite(reciprocal) else 1.0


def _sentence(step: FittedNumber, settings: NumericStep) -> str:
    parts = [f"missing values become {step.fill:g} ({settings.impute})"]
    if step.clip:
        parts.append(f"clipped to {step.low:g} and {step.high:g}")
    if step.transform != "none":
        parts.append(f"{step.transform} {step.exponent:g}" if step.transform != "log" else "log")
    if settings.scale != "none":
        parts.append("scaled" if settings.scale == "standard" else f"scaled ({settings.scale})")
    return "a number: " + ", ".join([*parts, *["missing values marked"] * step.indicator])


def _fit_bins(
    profile: ColumnProfile, column: Column, settings: NumericStep, bins: BinSettings, bounds: ClipBounds
) -> StepFit:
    edges = _edges(profile, bins, bounds)
    missing = settings.indicator and profile.n_missing > 0
    if not edges and not missing:
        return StepFit(None, "has only one value in the training rows")
    step = FittedBins(column, edges, bins.encode == "ordinal", missing)
    sentence = (
        f"a number: {step.n_bins} ranges of equal {'width' if bins.by == 'width' else 'numbers of rows'}"
    )
    return StepFit(step, sentence, {})


def _edges(profile: ColumnProfile, bins: BinSettings, bounds: ClipBounds) -> tuple[float, ...]:
    shares = [i / bins.n for i in range(1, bins.n)]
    if bins.by == "width":
        edges = [bounds.low * (1 - share) + bounds.high * share for share in shares]
    else:
        edges = [profile.quantile(share) or 0.0 for share in shares]
    # Adding 0.0 leaves one zero; what lies above the last edge must be able to occur.
    return tuple(sorted({edge + 0.0 for edge in edges if bounds.low <= edge < bounds.high}))
