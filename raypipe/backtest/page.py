"""A backtest as one HTML page: what each policy gained against its fits, and each decision of the loop."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources

from raypipe.backtest.chart import chart
from raypipe.backtest.result import BacktestResult, Decision, PolicyResult
from raypipe.data.explore.markup import Markup, tag, verbatim, visible
from raypipe.stats.intervals import Interval


def render(found: BacktestResult) -> str:
    """Return the page, which loads nothing from anywhere; equal results give equal text."""
    style = resources.files("raypipe.backtest").joinpath("page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; style-src 'sha256-{digest}'",
        ),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", f"backtest of {visible(found.pipeline)}"),
        tag("style", verbatim(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *_body(found)), lang='en')}\n"


def _body(found: BacktestResult) -> Iterator[Markup]:
    yield tag(
        "header",
        tag("h1", f"Backtest of {visible(found.pipeline)}"),
        tag(
            "p",
            f"{found.n_rows:,} rows of {found.data_version} from {found.starts_at:%Y-%m-%d %H:%M} to "
            f"{found.ends_at:%Y-%m-%d %H:%M}, looked at {found.n_looks} times; the first champion "
            f"({found.first_family}) learned from the {found.n_history:,} rows before. "
            f"Labels come {found.label_delay} late.",
        ),
    )
    yield tag(
        "main",
        tag("h2", "Better than never to retrain, against fits"),
        chart(found.policies, found.metric),
        tag("h2", "Policies"),
        _policies(found),
        *(_decisions(one) for one in found.policies if one.decisions),
    )


def _policies(found: BacktestResult) -> Markup:
    header = ("policy", "fits", "released", "failed", found.metric, "better than never", "CPU s", "cost")
    rows = [
        (
            one.name,
            str(one.n_fits),
            str(one.n_released),
            str(one.n_failed),
            spelled(one.score),
            spelled(one.over_never),
            f"{one.cpu_s:.1f}",
            "-" if one.cost is None else f"{one.cost:,.0f}",
        )
        for one in found.policies
    ]
    return _table("95% intervals by bootstrap over blocks of neighbours", header, rows)


def _decisions(one: PolicyResult) -> Markup:
    header = ("at", "trigger", "made", "rows that judged", "gain", "ending", "reason")
    return _table(f"Decisions of {one.name}", header, [_row(decision) for decision in one.decisions])


def _row(one: Decision) -> tuple[str, ...]:
    return (
        f"{one.at:%Y-%m-%d %H:%M}",
        one.trigger,
        f"{one.version} {one.family}" if one.version else "",
        f"{one.n_judged:,}" if one.n_judged else "",
        "" if one.gain is None else spelled(one.gain),
        one.ending,
        one.reason,
    )


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in header)))
    body = (tag("tr", *(tag("td", visible(cell, 200)) for cell in row)) for row in rows)
    return tag(
        "div", tag("table", tag("caption", caption), head, tag("tbody", *body)), class_="wide", tabindex="0"
    )


def spelled(found: Interval) -> str:
    """Return a value with its interval, or a dash where rows do not define it."""
    if found.value != found.value:
        return "-"
    value, low, high = (round(end, 4) + 0.0 for end in (found.value, found.low, found.high))
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"
