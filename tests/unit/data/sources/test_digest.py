"""Rows are the same rows however they are cut, and others where anything of them differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.canonical import TYPES
from raypipe.data.sources.digest import digest_of

cells = {
    "number": st.floats(allow_nan=False),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "category": st.text(max_size=4),
    "timestamp": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
}


@given(data=st.data(), n=st.integers(0, 8))
def test_chunks_do_not_matter(data: st.DataObject, n: int) -> None:
    columns = {
        kind: pa.array(data.draw(st.lists(st.none() | cells[kind], min_size=n, max_size=n)), TYPES[kind])
        for kind in TYPES
    }
    table = pa.table({**columns, "null": pa.nulls(n)})
    cut = data.draw(st.integers(0, n))
    rechunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert digest_of(table) == digest_of(rechunked)


@pytest.mark.parametrize(
    "other",
    [
        {"a": ["xy", "z", None]},
        {"a": ["x", "yz", ""]},
        {"a": ["x", "yz", None], "b": [1, 2, 3]},
        {"b": ["x", "yz", None]},
        {"a": ["x", "yz"]},
        {"a": [None, None, None]},
    ],
)
def test_whatever_differs_shows(other: dict[str, Any]) -> None:
    def table(columns: dict[str, Any]) -> pa.Table:
        return pa.table(
            {
                name: pa.array(values, TYPES["category"] if name == "a" else None)
                for name, values in columns.items()
            }
        )

    assert digest_of(table({"a": ["x", "yz", None]})) != digest_of(table(other))


def test_a_missing_number_is_not_a_zero() -> None:
    assert digest_of(pa.table({"a": pa.array([None], pa.int64())})) != digest_of(pa.table({"a": [0]}))
