"""Rows parted at a moment, and rows as requests carry them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from raypipe.core.errors import DataError
from raypipe.data.canonical import TYPES
from raypipe.data.replay import part, requests, write_rows

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def rows(hours: list[int]) -> pa.Table:
    times = pa.array([NOON + timedelta(hours=hour) for hour in hours], TYPES["timestamp"])
    return pa.table({"at": times, "n": list(range(len(hours)))})


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_each_row_is_on_one_side_and_each_moment_too(hours: list[int], share: float) -> None:
    table = rows(hours)
    try:
        found = part(table, "at", share)
    except DataError:
        assert sorted(hours)[min(len(hours) - 1, round(len(hours) * share))] == min(hours)
        return
    old, new = found.history.to_pylist(), found.played.to_pylist()
    assert sorted(row["n"] for row in old + new) == list(range(len(hours)))
    assert max(row["at"] for row in old) < found.moment == min(row["at"] for row in new)
    assert [row["n"] for row in old] == sorted(row["n"] for row in old), "history keeps its order"
    assert [row["at"] for row in new] == sorted(row["at"] for row in new)
    assert len(old) <= round(len(hours) * share)


def test_rows_of_one_moment_keep_their_order() -> None:
    found = part(rows([3, 1, 3, 2, 3, 0]), "at", 0.5)
    assert found.history["n"].to_pylist() == [1, 3, 5]
    assert found.played["n"].to_pylist() == [0, 2, 4]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_a_moment_may_be_given_in_any_zone_and_is_utc_without(zone: timezone | None) -> None:
    moment = (NOON + timedelta(hours=2)).astimezone(zone) if zone else datetime(2026, 1, 31, 14)
    found = part(rows([0, 1, 2, 3]), "at", moment)
    assert found.moment == NOON + timedelta(hours=2)
    assert (found.history.num_rows, found.played.num_rows) == (2, 2)


@pytest.mark.parametrize("hours", [-1, 0, 9])
def test_a_moment_that_leaves_a_side_empty_is_said(hours: int) -> None:
    with pytest.raises(DataError, match="must leave rows on both sides, after 2026-01-31 12:00"):
        part(rows([0, 1, 2, 3]), "at", NOON + timedelta(hours=hours))


def test_requests_carry_what_json_can() -> None:
    table = pa.table(
        {
            "at": pa.array([NOON] * 3, TYPES["timestamp"]),
            "price": [1.5, math.nan, math.inf],
            "colour": ["red", None, "blue"],
            "label": ["a", "b", "c"],
        }
    )
    sent = list(requests(table, ["colour", "price", "at"], 2))
    assert [len(request) for request in sent] == [2, 1]
    assert json.loads(json.dumps(list(chain(*sent)), allow_nan=False)) == [
        {"colour": "red", "price": 1.5, "at": "2026-01-31T12:00:00+00:00"},
        {"colour": None, "price": None, "at": "2026-01-31T12:00:00+00:00"},
        {"colour": "blue", "price": None, "at": "2026-01-31T12:00:00+00:00"},
    ]


def test_history_is_written_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "replay" / "history.parquet"
    write_rows(rows([0, 1]), file)
    assert parquet.read_table(file).equals(rows([0, 1]))
