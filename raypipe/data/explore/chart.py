"""A column's values as a picture: bars, and the training rows as a line over them."""

from __future__ import annotations

from raypipe.data.explore import spelling
from raypipe.data.explore.bars import Bars
from raypipe.data.explore.markup import Markup, tag, visible
from raypipe.data.profile import ColumnProfile

WIDTH, HEIGHT = 320, 96
GAP = 1.0
_LEAST = 1.5
"""A bar of a few values can be seen all the same."""


def chart(profile: ColumnProfile, bars: Bars) -> Markup:
    """Return the picture with its ends below it, and what it leaves out."""
    drawn = tag(
        "svg",
        tag("path", class_="bars", d=_bars_path(bars)),
        tag("path", class_="trained", d=_line_path(bars)) if bars.trained else None,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=described(profile, bars),
    )
    return tag("figure", drawn, tag("figcaption", *_ends(profile, bars)), class_="chart")


def described(profile: ColumnProfile, bars: Bars) -> str:
    """Say in words what the picture shows."""
    low, high = _ends_of(profile, bars)
    kind = profile.column.kind
    most = max(range(len(bars.counts)), key=bars.counts.__getitem__)
    n_most = spelling.share(bars.counts[most], sum(bars.counts))
    if bars.values:
        where = f"at {spelling.value(_counted(bars.values[most], kind), kind)}"
    else:
        ends = (spelling.amount(end, kind) for end in bars.edges[most : most + 2])
        where = "between " + " and ".join(ends)
    return f"{visible(profile.name)}: values from {low} to {high}; most, {n_most}, lie {where}"


def meter(part: float, whole: float, label: str) -> Markup:
    """Return a share as a bar on one line."""
    width = 0 if whole <= 0 else round(100 * part / whole, 1)
    return tag(
        "svg",
        tag("rect", class_="track", width="100", height="6", rx="3"),
        tag("rect", class_="fill", width=f"{width:g}", height="6", rx="3"),
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        class_="meter",
        role="img",
        aria_label=label,
    )


def _bars_path(bars: Bars) -> str:
    step = WIDTH / len(bars.counts)
    highest = _highest(bars)
    parts = []
    for place, count in enumerate(bars.counts):
        if count > 0:
            tall = max(_LEAST, HEIGHT * count / highest)
            width = max(0.5, step - GAP)
            parts.append(f"M{_n(place * step)} {HEIGHT}v{_n(-tall)}h{_n(width)}v{_n(tall)}z")
    return "".join(parts)


def _line_path(bars: Bars) -> str:
    step, highest = WIDTH / len(bars.counts), _highest(bars)
    tops = [HEIGHT * (1 - count / highest) for count in bars.trained]
    first, *rest = tops
    steps = (f"H{_n(place * step)}V{_n(top)}" for place, top in enumerate(rest, 1))
    return f"M0 {_n(first)}{''.join(steps)}H{WIDTH}"


def _highest(bars: Bars) -> float:
    return max(*bars.counts, *bars.trained, 1e-9)


def _ends(profile: ColumnProfile, bars: Bars) -> list[Markup]:
    low, high = _ends_of(profile, bars)
    n_beyond = bars.n_below + bars.n_above
    ends = [tag("span", low), tag("span", high)]
    if n_beyond:
        ends.insert(1, tag("span", f"{n_beyond:,} beyond", class_="muted"))
    return ends


def _ends_of(profile: ColumnProfile, bars: Bars) -> tuple[str, str]:
    kind = profile.column.kind
    return spelling.amount(bars.low, kind), spelling.amount(bars.high, kind)


def _counted(number: float, kind: str) -> int | float:
    return int(number) if kind in ("integer", "boolean") else number


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
