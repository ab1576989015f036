"""One card a column: what it is, what is missing, how its values lie, and what is worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raypipe.data.explore import spelling
from raypipe.data.explore.bars import bars_of
from raypipe.data.explore.chart import chart, meter
from raypipe.data.explore.markup import Markup, tag, visible
from raypipe.data.explore.parts import TrainedColumn
from raypipe.data.explore.remarks import Remark
from raypipe.data.profile import ColumnProfile

N_TOP, N_TOP_MORE = 5, 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NAME_CHARACTERS = 120
Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ColumnView:
    """A column as the page shows it; `roles` are such as label and event time."""

    place: int
    profile: ColumnProfile
    remarks: tuple[Remark, ...]
    roles: tuple[str, ...] = ()
    trained: TrainedColumn | None = None
    model: str = ""

    @property
    def anchor(self) -> str:
        return f"c{self.place}"

    @property
    def shown_name(self) -> str:
        return visible(self.profile.name, NAME_CHARACTERS)


def card(view: ColumnView) -> Markup:
    """Return the card of a column."""
    profile = view.profile
    return tag(
        "article",
        tag("h3", tag("bdi", view.shown_name), id=f"{view.anchor}-name"),
        tag("p", *_badges(view), class_="badges"),
        _remarks(view.remarks),
        _facts(_first_facts(view), _missing(profile)),
        *_picture(view),
        _more(view),
        class_="card",
        id=view.anchor,
        aria_labelledby=f"{view.anchor}-name",
        data_name=view.shown_name.casefold(),
        data_kind=profile.column.kind,
        data_missing=f"{profile.n_missing / max(1, profile.n_rows):.6f}",
        data_distinct=_n_distinct(profile),
        data_remarks=len(view.remarks),
    )


def _badges(view: ColumnView) -> Iterator[Markup]:
    yield tag("span", view.profile.column.kind, class_=f"badge kind {view.profile.column.kind}")
    for role in view.roles:
        yield tag("span", role, class_="badge role")


def _remarks(remarks: Sequence[Remark]) -> Markup | None:
    if not remarks:
        return None
    told = (tag("li", tag("b", one.topic), " ", tag("bdi", one.text)) for one in remarks)
    return tag("ul", *told, class_="remarks")


def _facts(facts: Facts, missing: Markup | None = None) -> Markup:
    """Return facts; below the first of them, a share as a bar."""
    said = [
        tag("div", tag("dt", name), tag("dd", value, missing if not n else None))
        for n, (name, value) in enumerate(facts)
    ]
    return tag("dl", *said, class_="facts")


def _missing(profile: ColumnProfile) -> Markup | None:
    if not profile.n_missing:
        return None
    told = f"{spelling.share(profile.n_missing, profile.n_rows)} missing"
    return meter(profile.n_missing, profile.n_rows, told)


def _first_facts(view: ColumnView) -> Facts:
    profile = view.profile
    facts = [("missing", spelling.share(profile.n_missing, profile.n_rows) if profile.n_missing else "none")]
    if profile.counted is not None:
        about = "" if profile.counted.is_exact else "≈ "
        facts.append(("distinct", f"{about}{profile.n_distinct:,}"))
    if _has_numbers(profile):
        facts.append(("median", spelling.amount(profile.quantile(0.5), profile.column.kind)))
    if _has_numbers(profile) and profile.column.kind != "timestamp":
        facts.append(("mean", spelling.amount(profile.mean, "number")))
    elif profile.column.kind == "category" and profile.n_rows > profile.n_missing:
        facts.append(("present", f"{profile.n_rows - profile.n_missing:,}"))
    return facts


def _picture(view: ColumnView) -> Iterator[Markup]:
    kind = view.profile.column.kind
    bars = None if kind == "boolean" else bars_of(view.profile, view.trained)
    if bars is not None:
        yield chart(view.profile, bars)
        if bars.trained:
            yield tag("p", f"line: training rows of {view.model}, to scale", class_="legend")
    if kind in ("category", "boolean"):
        yield from _top(view, "Most frequent values", N_TOP)


def _has_numbers(profile: ColumnProfile) -> bool:
    return profile.sketch is not None and profile.moments.n > 0 and profile.column.kind != "boolean"


def _more(view: ColumnView) -> Markup | None:
    profile = view.profile
    if _has_numbers(profile):
        return tag("details", tag("summary", "Numbers"), *_numbers(view))
    if profile.column.kind == "category" and profile.counted and len(profile.counted.counts) > N_TOP:
        return tag("details", tag("summary", "More values"), *_top(view, "Most frequent values", N_TOP_MORE))
    return None


def _numbers(view: ColumnView) -> Iterator[Markup]:
    profile, kind = view.profile, view.profile.column.kind
    yield _facts(_more_facts(view))
    ends = [
        ("minimum", profile.min),
        *((f"{q:.0%}", profile.quantile(q)) for q in QUANTILES),
        ("maximum", profile.max),
    ]
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", spelling.amount(end, kind))) for name, end in ends
    )
    yield tag("table", tag("caption", "Quantiles"), tag("tbody", *rows))
    yield from _top(view, "Most frequent values", N_TOP_MORE)


def _more_facts(view: ColumnView) -> Facts:
    profile = view.profile
    facts = [("rows", f"{profile.n_rows:,}"), ("missing", f"{profile.n_missing:,}")]
    if profile.n_nan:
        facts.append(("of which NaN", f"{profile.n_nan:,}"))
    if profile.n_infinite:
        facts.append(("infinite", f"{profile.n_infinite:,}"))
    if profile.variance is not None and profile.column.kind != "timestamp":
        facts.append(("deviation", spelling.amount(profile.variance**0.5, "number")))
    if view.trained is not None:
        trained = view.trained
        facts.append(
            (f"missing in training of {view.model}", spelling.share(trained.n_missing, trained.n_rows))
        )
    return facts


def _top(view: ColumnView, caption: str, n_top: int) -> Iterator[Markup]:
    profile, counted = view.profile, view.profile.counted
    if counted is None or not counted.counts:
        return
    top = counted.top(n_top)
    if top[0][1] == 1 and profile.column.kind != "category":
        return
    n_present = profile.n_rows - profile.n_missing
    categories = view.trained.categories if view.trained else {}
    rows = [_top_row(found, n, n_present, view) for found, n in top]
    n_rest = n_present - sum(n for _, n in top)
    head = ["value", "rows", "share"] + ([f"in {view.model}"] if categories else [])
    if n_rest > 0:
        rest = [tag("th", "all others", scope="row", class_="muted"), tag("td", f"{n_rest:,}")]
        rest += [tag("td", spelling.share(n_rest, n_present)), *([tag("td")] if categories else [])]
        rows.append(tag("tr", *rest))
    yield tag(
        "table",
        tag("caption", caption + ("" if counted.is_exact else " (of a sample of them)")),
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
        tag("tbody", *rows),
        class_="top",
    )


def _top_row(found: str | float, n: int, n_present: int, view: ColumnView) -> Markup:
    kind = view.profile.column.kind
    text = spelling.value(found, kind)
    shown = tag("bdi", text) if text.strip() else tag("i", "empty" if text == "" else "blanks")
    cells = [tag("th", shown, scope="row"), tag("td", f"{n:,}")]
    told = spelling.share(n, n_present)
    cells.append(tag("td", told, meter(n, n_present, told)))
    trained = view.trained
    if trained is not None and trained.categories:
        n_known = trained.n_rows - trained.n_missing
        cells.append(tag("td", spelling.share(trained.categories.get(str(found), 0), n_known)))
    return tag("tr", *cells)


def _n_distinct(profile: ColumnProfile) -> int:
    return 0 if profile.counted is None else profile.n_distinct
