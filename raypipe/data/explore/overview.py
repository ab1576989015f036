"""What a version is as a whole: its rows, where they came from, when they are from, what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from raypipe.data.explore import spelling
from raypipe.data.explore.markup import Child, Markup, join, tag, visible
from raypipe.data.explore.parts import Parts
from raypipe.data.versions import BrokenRule, DataVersion, Erasure, Fragment

PATH_CHARACTERS = 200
_DID: Mapping[str, str] = {
    "quarantine": "set aside",
    "drop": "dropped",
    "stop": "refused the batch",
    "warn": "told of",
}


def tiles(version: DataVersion, n_missing: int, n_cells: int) -> Markup:
    """Return the few numbers that say most."""
    fragments = version.fragments
    n_bad = sum(one.n_bad for one in fragments)
    told: list[tuple[str, str, str | Markup]] = [
        ("rows", f"{version.n_rows:,}", f"of {sum(one.n_rows for one in fragments):,} read"),
        ("columns", f"{len(version.columns):,}", _kinds(version)),
        ("missing cells", spelling.share(n_missing, n_cells), f"{n_missing:,} of {n_cells:,}"),
        (
            "broke the contract",
            f"{n_bad:,}",
            "rows set aside or dropped" if n_bad else "every row kept its rules",
        ),
        ("without a label", f"{version.n_unlabelled:,}", "rows left out"),
    ]
    since, until = span(fragments)
    if since is not None and until is not None:
        days = (until - since).total_seconds() / 86_400
        ends = join(tag("span", _day(since)), " to ", tag("span", _day(until)))
        told.append(("event time", _length(days), ends))
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", tag("b", value), tag("small", more)))
            for name, value, more in told
        ),
        class_="tiles",
    )


def sections(version: DataVersion, parts: Parts | None) -> Iterator[Markup]:
    """Yield the tables behind the numbers, those that have something to say."""
    yield _table(
        "Sources: where the rows came from",
        ("source", "pieces", "rows read", "kept", "broke the contract", "no label", "size", "first", "last"),
        _sources(version),
    )
    if version.joined:
        lookups = _lookups(version)
        yield _table(
            "Lookups: whose columns stand beside the rows", ("source", "of", "size"), lookups, n_texts=2
        )
    if version.broken:
        rules, head = map(_broken, version.broken), ("column", "rule", "rows were", "rows")
        yield _table("Contract: rules that rows broke", head, rules, n_texts=3)
    if parts is not None:
        yield _parts(parts)
    if version.erased:
        erased = map(_erased, version.erased)
        yield _table("Erased: rows of people", ("when", "why", "rows"), erased, n_texts=2)
    if version.unread:
        names = ", ".join(visible(name) for name in version.unread)
        yield tag(
            "p",
            tag("b", "Not kept: "),
            tag("bdi", names),
            " (dropped by the config, or of a type without a kind).",
        )


def span(fragments: Sequence[Fragment]) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last event time."""
    since = min((one.since for one in fragments if one.since is not None), default=None)
    return since, max((one.until for one in fragments if one.until is not None), default=None)


def _sources(version: DataVersion) -> Iterator[tuple[Child, ...]]:
    for name in dict.fromkeys(one.source for one in version.fragments):
        of = [one for one in version.fragments if one.source == name]
        counts = (sum(numbers) for numbers in zip(*map(_counts, of), strict=True))
        since, until = span(of)
        yield (
            visible(name),
            *(f"{n:,}" for n in counts),
            spelling.size(sum(one.n_bytes for one in of)),
            spelling.NOTHING if since is None else _day(since),
            spelling.NOTHING if until is None else _day(until),
        )


def _lookups(version: DataVersion) -> Iterator[tuple[Child, ...]]:
    for one in dict.fromkeys(version.joined):
        yield visible(one.source), visible(one.path, PATH_CHARACTERS), spelling.size(one.n_bytes)


def _broken(one: BrokenRule) -> tuple[Child, ...]:
    rule = visible(one.rule, PATH_CHARACTERS)
    return visible(one.column), rule, _DID.get(one.action, one.action), f"{one.n_rows:,}"


def _erased(one: Erasure) -> tuple[Child, ...]:
    return f"{one.at:%Y-%m-%d %H:%M} UTC", visible(one.reason, PATH_CHARACTERS), f"{one.n_rows:,}"


def _counts(one: Fragment) -> tuple[int, ...]:
    return one.n_pieces, one.n_rows, one.n_kept, one.n_bad, one.n_unlabelled


def _parts(parts: Parts) -> Markup:
    sizes = (("training", parts.n_train), ("validation", parts.n_validation), ("test", parts.n_test))
    n_rows = sum(n for _, n in sizes)
    rows = [(name, f"{n:,}", spelling.share(n, n_rows)) for name, n in sizes]
    return _table(f"Parts, as {visible(parts.model)} learned from them", ("part", "rows", "share"), rows)


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]], n_texts: int = 1) -> Markup:
    """Return a table whose first `n_texts` columns are words."""
    classes = [None if place >= n_texts else "text" for place in range(len(head))]
    body = (
        tag(
            "tr",
            tag("th", first, scope="row"),
            *(tag("td", cell, class_=c) for cell, c in zip(rest, classes[1:], strict=True)),
        )
        for first, *rest in rows
    )
    made = tag(
        "table",
        tag("caption", caption),
        tag(
            "thead",
            tag(
                "tr", *(tag("th", name, scope="col", class_=c) for name, c in zip(head, classes, strict=True))
            ),
        ),
        tag("tbody", *body),
    )
    return tag("div", made, class_="wide", tabindex="0", role="region", aria_label=caption)


def _kinds(version: DataVersion) -> str:
    counts: dict[str, int] = {}
    for column in version.columns:
        counts[column.kind] = counts.get(column.kind, 0) + 1
    return ", ".join(
        f"{n:,} {kind}" for kind, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}".removesuffix(" 00:00")


def _length(days: float) -> str:
    for unit, n_days in (("years", 365.25), ("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= 2 * n_days:
            return f"{days / n_days:,.1f} {unit}".replace(".0 ", " ")
    return f"{days * 86_400:,.0f} seconds"
