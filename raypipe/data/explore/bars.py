"""How many values fall where: what a chart draws of a column, computed from the profile alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.data.explore.parts import TrainedColumn
from raypipe.data.profile import ColumnProfile
from raypipe.stats.histogram import QuantileSketch

N_BINS = 40
MAX_SINGLE = 24
"""Up to so many distinct numbers have a bar each."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """Counts between edges; `values` are what the bars stand for where each is of one value.

    What lies beyond the edges is counted and not drawn: a few far values would squeeze all others into one
    bar. `trained` are the counts of training rows, scaled to as many rows as there are in all.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    """The smallest value that is drawn."""
    high: float
    n_below: int = 0
    n_above: int = 0
    values: tuple[float, ...] = ()
    trained: tuple[float, ...] = ()


def bars_of(profile: ColumnProfile, trained: TrainedColumn | None = None) -> Bars | None:
    """Return what to draw of a column of numbers or moments; None without finite values."""
    sketch, low, high = profile.sketch, profile.min, profile.max
    if sketch is None or low is None or high is None:
        return None
    values = _single(profile)
    edges = _between(values) if values else _edges(profile, *_shown(sketch, low, high))
    up_to = _up_to(sketch, np.array(sketch.counts, np.float64), edges)
    return Bars(
        tuple(edges.tolist()),
        tuple(np.diff(up_to).tolist()),
        low=max(float(edges[0]), low),
        high=min(float(edges[-1]), high),
        n_below=round(float(up_to[0])),
        n_above=round(float(sketch.n - up_to[-1])),
        values=values,
        trained=() if trained is None else _trained(trained, sketch, edges),
    )


def _single(profile: ColumnProfile) -> tuple[float, ...]:
    counted = profile.counted
    if counted is None or not counted.is_exact or not 0 < len(counted.counts) <= MAX_SINGLE:
        return ()
    if profile.column.kind == "timestamp":
        return ()
    return tuple(float(value) for value, _ in counted.sorted_items())


def _between(values: tuple[float, ...]) -> Floats:
    """Return edges that part the values from each other: each begins a bar."""
    return np.append(values, _after(values[-1]))


def _edges(profile: ColumnProfile, low: float, high: float) -> Floats:
    if profile.column.kind == "integer" and high - low < 2**52:
        width = max(1, math.ceil((high - low + 1) / N_BINS))
        n_bins = math.ceil((high - low + 1) / width)
        return np.asarray(math.floor(low) - 0.5 + width * np.arange(n_bins + 1), np.float64)
    if not low < high:
        return np.array([low, _after(low)])
    # In shares, as the distance between the ends may be beyond the largest float.
    share = np.linspace(0, 1, N_BINS + 1)
    return np.unique(np.append((low * (1 - share) + high * share)[:-1], _after(high)))


def _after(number: float) -> float:
    """Return the next larger float, infinite for the largest."""
    return math.nextafter(number, math.inf)


def _shown(sketch: QuantileSketch, low: float, high: float) -> tuple[float, float]:
    """Return from where to where to draw: all of it, unless single values are far from the rest."""
    first, last = sketch.quantile(0.01), sketch.quantile(0.99)
    if first is None or last is None or not first < last:
        return low, high
    beyond = last / 2 - first / 2
    return max(low, first - 2 * beyond), min(high, last + 2 * beyond)


def _up_to(sketch: QuantileSketch, counts: Floats, edges: Floats) -> Floats:
    """Return how many values lie below each edge, those of a bucket spread evenly over it."""
    lows, highs, _ = sketch.ranges()
    width = highs - lows
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        inside = np.clip((edges[:, None] - lows) / np.where(width > 0, width, 1), 0, 1)
    below = np.where((width > 0) & np.isfinite(width), inside, lows < edges[:, None])
    found: Floats = below @ counts
    return found


def _trained(trained: TrainedColumn, sketch: QuantileSketch, edges: Floats) -> tuple[float, ...]:
    """Return the training rows by bar: what a range held of them lies in it as all values in it do."""
    if not trained.edges:
        return ()
    _, highs, n_held = sketch.ranges()
    counts = n_held.astype(np.float64)
    # No training row lies beyond the last edge.
    places = np.searchsorted(np.array(trained.edges), highs)
    held = np.bincount(places, counts, minlength=len(trained.edges) + 1)
    factor = np.divide([*trained.counts, 0], held, out=np.zeros(len(held)), where=held > 0)
    of_bar = np.diff(_up_to(sketch, counts * factor[places], edges))
    scale = sketch.n / max(1.0, float(sum(trained.counts)))
    return tuple((of_bar * scale).tolist())
