"""The page holds what the profile says, whatever columns are called, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.explore.cards import N_TOP
from raypipe.data.explore.page import Subject, render
from raypipe.data.explore.parts import Parts, TrainedColumn
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.versions import BrokenRule, DataVersion, Erasure, Fragment, JoinedPiece
from raypipe.testing.data import example_fragment

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "&lt;script&gt;",
    "\u202eevil\u0000\n",
    "{{7*7}} ${7*7}",
]
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Elements of a page, each with its attributes and text; fails where tags do not fit each other."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def fragment(**changes: object) -> Fragment:
    return example_fragment(**{"since": AT, "until": AT, **changes})


def subject(table: pa.Table, **changes: Any) -> Subject:
    version = DataVersion(
        id="d-0123456789ab",
        parent="d-ba9876543210",
        table_version=1,
        columns=schema_columns(table.schema),
        unread=("map",),
        n_rows=table.num_rows,
        broken=(BrokenRule("must be >= 0", "amount", "quarantine", 2),),
        n_unlabelled=1,
        fragments=(fragment(), fragment(source="more", since=None, until=None, n_bytes=0)),
        created_at=AT,
    )
    return Subject(
        **{"pipeline": "credit", "version": version, "profile": Profile.of_table(table), **changes}
    )


def small() -> pa.Table:
    return pa.table(
        {
            "amount": pa.array([0.5, 1.5, None, float("nan"), 2.5, 1e9] * 4),
            "shop": pa.array([1, 2, 2, 3, 3, 3] * 4),
            "colour": pa.array(["red", "blue", "", None, "Red ", "red"] * 4),
            "sold": pa.array([True, False, None, True, True, False] * 4),
            "at": pa.array([AT] * 24, pa.timestamp("us", "UTC")),
            "nothing": pa.array([None] * 24, pa.string()),
            "inf": pa.array([float("inf")] * 24),
        }
    )


def test_equal_subjects_give_equal_pages_without_anything_from_elsewhere() -> None:
    page = render(subject(small()))
    assert page == render(subject(small()))
    parsed = Page(page)
    assert {tag for tag, _ in parsed.elements} & {"link", "img", "iframe", "base", "object"} == set()
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"\"sha256-[^\"]*", "", page.replace("<!", "")))
    links = [attributes["href"] for attributes in parsed.of("a")]
    known = {f"#{attributes['id']}" for _, attributes in parsed.elements if "id" in attributes}
    assert links and set(links) <= known


def test_it_can_be_read_without_eyes() -> None:
    parsed = Page(render(subject(small())))
    assert parsed.of("html") == [{"lang": "en"}]
    assert len(parsed.of("h1")) == 1
    assert [tag for tag, _ in parsed.elements if tag in ("h1", "h2", "h3")][:4] == ["h1", "h2", "h2", "h2"]
    assert len(parsed.of("h3")) == len(parsed.of("article")) == 7
    assert len(parsed.of("caption")) == len(parsed.of("table"))
    assert all(one["role"] == "img" and one["aria-label"] for one in parsed.of("svg"))
    assert all("scope" in one for one in parsed.of("th"))
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_overview_says_where_rows_came_from_and_what_was_left_out() -> None:
    made = subject(small())
    told = "".join(Page(render(made)).texts)
    for words in ("files", "more", "24", "set aside", "must be >= 0", "d-ba9876543210", "map"):
        assert words in told
    erased = Erasure("e-1", AT, 3, "asked to")
    joined = (JoinedPiece("w", "w.csv", "0", 5),)
    changed = replace(made.version, erased=(erased,), joined=joined)
    told = "".join(Page(render(subject(small(), version=changed))).texts)
    assert "asked to" in told and "w.csv" in told and "erased since" in told


@pytest.mark.parametrize("text", HOSTILE)
def test_what_data_is_called_breaks_out_of_nothing(text: str) -> None:
    table = pa.table({text: [1.0, 2.0, 3.0], f"{text}2": [text, text, "x"], "y": [text[::-1]] * 3})
    parts = Parts(text, 2, 1, 1, {f"{text}2": TrainedColumn(2, 0, categories={text: 2})})
    version = replace(
        subject(table).version,
        fragments=(fragment(source=text, path=text),),
        broken=(BrokenRule(text, text, "drop", 1),),
        joined=(JoinedPiece(text, text, text, 1),),
        unread=(text,),
        erased=(Erasure(text, AT, 1, text),),
    )
    page = render(subject(table, pipeline=text, parts=parts, label=text, version=version))
    parsed, plain = Page(page), Page(render(subject(small(), parts=parts, version=version)))
    assert len(parsed.of("script")) == len(parsed.of("style")) == 1
    assert {name for name, _ in parsed.elements} <= {name for name, _ in plain.elements}
    assert not any(
        key.startswith("on") or key in ("src", "style") for _, one in parsed.elements for key in one
    )
    assert "\u202e" not in page and "\u0000" not in page


@given(st.text(max_size=30), st.lists(st.text(max_size=20), min_size=1, max_size=20))
def test_any_name_and_any_value_make_a_page(name: str, values: list[str]) -> None:
    table = pa.table({f"c{name}": pa.array(values, pa.string())})
    parsed = Page(render(subject(table)))
    assert len(parsed.of("article")) == len(parsed.of("script")) == 1


def test_the_policy_of_the_page_allows_its_own_script_alone() -> None:
    page = render(subject(small()))
    (policy,) = (one["content"] for one in Page(page).of("meta") if "http-equiv" in one)
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policy)
    assert str(policy).startswith("default-src 'none'; ")


def test_parts_are_told_and_training_rows_drawn() -> None:
    columns = {
        "shop": TrainedColumn(12, 0, edges=(1.0, 2.0, 3.0), counts=(6, 6, 0)),
        "colour": TrainedColumn(12, 3, categories={"red": 9}),
    }
    parsed = Page(render(subject(small(), parts=Parts("v7", 12, 6, 6, columns))))
    told = "".join(parsed.texts)
    assert "Parts, as v7 learned from them" in told and "in v7" in told and "100%" in told
    assert [one["class"] for one in parsed.of("path")].count("trained") == 1


def test_many_columns_stay_a_small_page() -> None:
    random = np.random.default_rng(0)
    columns: dict[str, pa.Array] = {f"n{i}": pa.array(random.lognormal(size=300)) for i in range(60)}
    columns |= {f"t{i}": pa.array(random.choice(list("abcdefghijkl"), 300)) for i in range(60)}
    page = render(subject(pa.table(columns)))
    few = render(subject(pa.table({name: columns[name] for name in list(columns)[:1]})))
    assert (len(page.encode()) - len(few.encode())) / 119 < 5_000
    assert len(Page(page).of("article")) == 120


def test_frequent_values_are_counted_and_the_others_together() -> None:
    texts = [f"v{i:02}" for i in range(20) for _ in range(20 - i)]
    told = "".join(Page(render(subject(pa.table({"t": texts})))).texts)
    assert "all others" in told
    assert f"{len(texts) - sum(20 - i for i in range(N_TOP)):,}" in told
