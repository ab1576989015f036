"""The picture of a backtest: a point a policy, how much better it is against how many fits it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from raypipe.backtest.result import PolicyResult
from raypipe.data.explore.markup import Markup, tag

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 72, 120, 16, 44
_RADIUS = 4.5
_N_TICKS = 5
Scale = Callable[[float], float]


def chart(policies: Sequence[PolicyResult], metric: str) -> Markup:
    """Return the picture, in which whiskers are 95% intervals of the paired difference to never."""
    ends = [end for one in policies for end in _ends(one)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = (high - low) * 0.05 or 1.0
    most = max(1, *(one.n_fits for one in policies))

    def x(n_fits: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.sqrt(n_fits / most)

    def y(gain: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high + room - gain) / (high - low + 2 * room)

    return tag(
        "svg",
        *_axes(x, y, most, low, high),
        *(mark for one in policies for mark in _marks(one, x, y)),
        tag("text", "fits", x=WIDTH - RIGHT, y=HEIGHT - 8, class_="axis end"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"How much better in {metric} each policy is than never, against its fits",
    )


def _axes(x: Scale, y: Scale, most: int, low: float, high: float) -> Iterator[Markup]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    yield tag("path", class_="zero", d=f"M{LEFT} {y(0):.1f}H{right}")
    yield tag("path", class_="frame", d=f"M{LEFT} {TOP}V{bottom}H{right}")
    for gain in ticks(low, high):
        yield tag("text", f"{gain:g}", x=LEFT - 8, y=f"{y(gain) + 4:.1f}", class_="axis end")
    for n in sorted({round(most * (k / 4) ** 2) for k in range(5)}):
        yield tag("text", f"{n}", x=f"{x(n):.1f}", y=bottom + 18, class_="axis middle")


def _marks(one: PolicyResult, x: Scale, y: Scale) -> Iterator[Markup]:
    gain = one.over_never
    if not math.isfinite(gain.value):
        return
    kind, at = "loop" if one.decisions or one.name == "loop" else "beside", x(one.n_fits)
    if math.isfinite(gain.low) and math.isfinite(gain.high):
        yield tag("path", class_=f"whisker {kind}", d=f"M{at:.1f} {y(gain.low):.1f}V{y(gain.high):.1f}")
    yield tag("path", class_=f"point {kind}", d=_disc(at, y(gain.value)))
    yield tag("text", one.name, x=f"{at + 8:.1f}", y=f"{y(gain.value) + 4:.1f}", class_=f"name {kind}")


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers within two ends.

    >>> ticks(-0.011, 0.032)
    [-0.01, 0.0, 0.01, 0.02, 0.03]
    """
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / _N_TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= _N_TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def _ends(one: PolicyResult) -> list[float]:
    gain = one.over_never
    return [end for end in (gain.low, gain.value, gain.high) if math.isfinite(end)]


def _disc(x: float, y: float) -> str:
    r = _RADIUS
    return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
