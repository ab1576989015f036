from __future__ import annotations

from datetime import UTC, datetime

import pytest

from raypipe.data.explore import spelling
from raypipe.data.explore.markup import Markup, join, tag, visible
from raypipe.data.schema import ColumnKind

NOON = datetime(2026, 1, 31, 12, 30, 5, tzinfo=UTC).timestamp() * 1e6


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "number", "-"),
        (2013, "integer", "2013"),
        (12_345, "integer", "12,345"),
        (-0.0, "number", "0"),
        (0.123456, "number", "0.1235"),
        (123_456.7, "number", "123,456.7"),
        (1.5e300, "number", "1.5e+300"),
        (NOON, "timestamp", "2026-01-31 12:30"),
        (1e300, "timestamp", "1e+300 µs"),
    ],
)
def test_amounts(value: float | None, kind: ColumnKind, text: str) -> None:
    assert spelling.amount(value, kind) == text


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1, "boolean", "true"),
        (12_345, "integer", "12,345"),
        (0.1234567891, "number", "0.1234567891"),
        (int(NOON), "timestamp", "2026-01-31 12:30:05"),
        ("a\tb", "category", "a\\u0009b"),
    ],
)
def test_values_are_told_from_each_other(value: str | float, kind: ColumnKind, text: str) -> None:
    assert spelling.value(value, kind) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 3, "0%"),
        (3, 3, "100%"),
        (1, 3, "33.3%"),
        (1, 10**6, "< 0.1%"),
        (10**6 - 1, 10**6, "> 99.9%"),
        (1, 0, "-"),
    ],
)
def test_a_few_are_never_none_and_all_but_a_few_never_all(part: int, whole: int, text: str) -> None:
    assert spelling.share(part, whole) == text


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "-"), (999, "999 B"), (4_210_000, "4.21 MB")])
def test_sizes(n_bytes: int, text: str) -> None:
    assert spelling.size(n_bytes) == text


def test_texts_are_escaped_once_and_elements_not_again() -> None:
    inner = tag("b", "<&>", class_='"x"', hidden=True, data_n=None)
    assert inner == '<b class="&quot;x&quot;" hidden>&lt;&amp;&gt;</b>'
    assert tag("p", inner, None, 3) == f"<p>{inner}3</p>"
    assert isinstance(join("a", inner), Markup)


def test_a_long_text_is_cut() -> None:
    assert visible("x" * 100, 10) == "x" * 9 + "…"
