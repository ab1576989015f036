"""The whole page: one file with its own style and script, which loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from raypipe.data.explore.cards import ColumnView, card
from raypipe.data.explore.markup import Markup, tag, verbatim, visible
from raypipe.data.explore.overview import sections, tiles
from raypipe.data.explore.parts import Parts
from raypipe.data.explore.remarks import MEANING, TOPICS, Topic, remarks_on
from raypipe.data.profile import Profile
from raypipe.data.versions import DataVersion

N_LINKS = 12
"""So many columns are named under a topic; the others are found by sorting."""
_SORTS = (
    ("place", "as in the data"),
    ("name", "name"),
    ("remarks", "most remarks"),
    ("missing", "most missing"),
    ("distinct", "most distinct"),
)


@dataclass(frozen=True)
class Subject:
    """What a page is about."""

    pipeline: str
    version: DataVersion
    profile: Profile
    label: str | None = None
    time: str | None = None
    parts: Parts | None = None


def render(subject: Subject) -> str:
    """Return the page; equal subjects give equal text."""
    views = tuple(_views(subject))
    title = f"{subject.version.id} · {visible(subject.pipeline)}"
    style, script = _own("page.css"), _own("page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", verbatim(style)),
    )
    body = tag("body", *_body(subject, views), tag("script", verbatim(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _views(subject: Subject) -> Iterator[ColumnView]:
    parts = subject.parts
    for place, profile in enumerate(subject.profile.columns):
        is_label, is_time = profile.name == subject.label, profile.name == subject.time
        yield ColumnView(
            place,
            profile,
            remarks_on(profile, is_label=is_label),
            (*["label"] * is_label, *["event time"] * is_time),
            None if parts is None else parts.columns.get(profile.name),
            "" if parts is None else visible(parts.model),
        )


def _body(subject: Subject, views: Sequence[ColumnView]) -> Iterator[Markup]:
    version = subject.version
    yield tag("a", "Skip to the columns", href="#columns", class_="skip")
    yield tag(
        "header",
        tag("p", "Data version of ", tag("b", visible(subject.pipeline)), class_="eyebrow"),
        tag("h1", version.id),
        tag("p", *_born(version), class_="muted"),
    )
    n_missing = sum(view.profile.n_missing for view in views)
    n_cells = sum(view.profile.n_rows for view in views)
    yield tag(
        "main",
        tag(
            "section",
            tag("h2", "Overview", id="overview"),
            tiles(version, n_missing, n_cells),
            *sections(version, subject.parts),
            aria_labelledby="overview",
        ),
        tag("section", tag("h2", "Worth a look", id="look"), *_look(views), aria_labelledby="look"),
        tag(
            "section",
            tag("h2", "Columns", id="columns", tabindex="-1"),
            _toolbar(views),
            tag("div", *map(card, views), id="cards"),
            aria_labelledby="columns",
        ),
    )
    yield tag("footer", "Made by raypipe from the kept profile of this version; no row was read for it.")


def _born(version: DataVersion) -> Iterator[str | Markup]:
    yield f"made {version.created_at:%Y-%m-%d %H:%M:%S} UTC"
    if version.parent:
        yield " after "
        yield tag("b", version.parent)
    if version.state:
        yield f", {version.state} since"


def _look(views: Sequence[ColumnView]) -> Iterator[Markup]:
    found: dict[Topic, list[ColumnView]] = {topic: [] for topic in TOPICS}
    for view in views:
        for remark in view.remarks:
            found[remark.topic].append(view)
    told = {topic: of for topic, of in found.items() if of}
    if not told:
        yield tag("p", "Nothing stands out.")
        return
    yield tag("ul", *(_topic(topic, of) for topic, of in told.items()), class_="topics")


def _topic(topic: Topic, views: Sequence[ColumnView]) -> Markup:
    links = [tag("a", tag("bdi", view.shown_name), href=f"#{view.anchor}") for view in views[:N_LINKS]]
    n_more = len(views) - len(links)
    more = tag("span", f"and {n_more:,} more", class_="muted") if n_more else None
    return tag(
        "li",
        tag("p", tag("b", topic), tag("span", f"{len(views):,}", class_="count"), " ", MEANING[topic]),
        tag("p", *links, more, class_="links"),
    )


def _toolbar(views: Sequence[ColumnView]) -> Markup:
    kinds = sorted({view.profile.column.kind for view in views})
    options = [tag("option", "every kind", value=""), *(tag("option", kind, value=kind) for kind in kinds)]
    sorts = (tag("option", text, value=key) for key, text in _SORTS)
    return tag(
        "form",
        tag("label", "Search ", tag("input", type="search", id="search", placeholder="a part of a name")),
        tag("label", "Kind ", tag("select", *options, id="kind")),
        tag("label", "Sort by ", tag("select", *sorts, id="sort")),
        tag("label", tag("input", type="checkbox", id="remarked"), " with remarks only"),
        tag("output", f"{len(views):,} columns", id="shown", aria_live="polite"),
        id="tools",
        role="search",
        aria_label="Columns",
        hidden=True,
    )


def _own(name: str) -> str:
    return resources.files("raypipe.data.explore").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
