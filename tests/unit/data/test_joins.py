"""What is joined: by key, by time, from the past alone, and the same in any order and in any blocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError, DataError, SchemaError
from raypipe.core.progress import Step
from raypipe.data.canonical import TYPES
from raypipe.data.config import DataSettings
from raypipe.data.joins import as_lookup, join_lookups
from raypipe.data.sources.config import JoinSettings

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def settings(time: str | None = "at") -> DataSettings:
    source = {"name": "rows", "format": "csv", "path": "-"}
    return DataSettings.model_validate({"sources": [source], "label": "y", "time": time})


def at(*minutes: int | None) -> pa.Array:
    return pa.array(
        [None if m is None else EPOCH + timedelta(minutes=m) for m in minutes], TYPES["timestamp"]
    )


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, TYPES["category"])


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def joined(
    rows: pa.Table, lookup: pa.Table, name: str = "w", time: str | None = "at", **join: Any
) -> pa.Table:
    found = as_lookup(name, JoinSettings.model_validate(join), lookup)
    return join_lookups(rows, [found], settings(time))


ROWS = table(k=texts("a", "b", None, "a", "z"), at=at(10, 10, 10, 5, 10))
WEATHER = table(k=texts("a", "a", "b", "b", None), t=at(4, 8, 11, 2, 1), temp=pa.array([1, 2, 3, 4, 5]))


def test_by_key_every_row_stays_in_its_place() -> None:
    planes = table(tail=texts("b", "a"), seats=pa.array([100, 200]), maker=texts("x", None))
    found = joined(ROWS, planes, "plane", by={"k": "tail"})
    assert found.column_names == ["k", "at", "plane_seats", "plane_maker"]
    assert found["plane_seats"].to_pylist() == [200, 100, None, 200, None]
    assert found["plane_maker"].to_pylist() == [None, "x", None, None, None]
    assert found.schema.types == [*ROWS.schema.types, TYPES["integer"], TYPES["category"]]


def test_as_of_takes_the_newest_that_is_not_later() -> None:
    found = joined(ROWS, WEATHER, by=["k"], as_of={"time": "t"})
    assert found["w_temp"].to_pylist() == [2, 4, None, 1, None]


def test_a_moment_itself_is_not_later() -> None:
    lookup = table(t=at(10, 11), temp=pa.array([1, 2]))
    assert joined(ROWS, lookup, as_of={"time": "t"})["w_temp"].to_pylist() == [1, 1, 1, None, 1]


@pytest.mark.parametrize(
    ("as_of", "temps"),
    [
        ({"tolerance_s": 120}, [2, None, None, 1, None]),
        ({"tolerance_s": 119}, [None, None, None, 1, None]),
        ({"available_after_s": 120}, [2, 4, None, None, None]),
        ({"available_after_s": 121}, [1, 4, None, None, None]),
        ({"available_after_s": 121, "tolerance_s": 359}, [None, None, None, None, None]),
        ({"available_after_s": 121, "tolerance_s": 360}, [1, None, None, None, None]),
    ],
)
def test_age_is_told_from_the_time_of_the_lookup_whenever_it_was_published(
    as_of: dict[str, Any], temps: list[int | None]
) -> None:
    found = joined(ROWS, WEATHER, by=["k"], as_of={"time": "t", **as_of})
    assert found["w_temp"].to_pylist() == temps


def test_a_row_without_a_time_matches_nothing() -> None:
    lookup = table(t=at(None, 1), temp=pa.array([1, 2]))
    rows = table(at=at(None, 3))
    assert joined(rows, lookup, as_of={"time": "t"})["w_temp"].to_pylist() == [None, 2]


def test_times_may_be_text_and_rows_may_compute_theirs_in_local_time() -> None:
    rows = table(
        day=pa.array([EPOCH, EPOCH.replace(month=7)], TYPES["timestamp"]), minute=pa.array([60.0, 60.0])
    )
    lookup = table(t=texts("2026-01-01T06:00:00Z", "2026-07-01T05:00:00+00:00"), temp=pa.array([1, 2]))
    as_of = {
        "time": "t",
        "row_time": "day + minute * INTERVAL '1 minute'",
        "row_time_zone": "America/New_York",
        "tolerance_s": 1,
    }
    assert joined(rows, lookup, time=None, as_of=as_of)["w_temp"].to_pylist() == [1, 2]


def test_of_an_hour_that_comes_twice_the_first_counts() -> None:
    rows = table(at=pa.array([datetime(2026, 10, 25, 2, 30, tzinfo=UTC)], TYPES["timestamp"]))
    lookup = table(t=texts("2026-10-25T00:30:00Z", "2026-10-25T00:31:00Z"), temp=pa.array([1, 2]))
    as_of = {"time": "t", "row_time": "at", "row_time_zone": "Europe/Zurich"}
    assert joined(rows, lookup, as_of=as_of)["w_temp"].to_pylist() == [1]


def test_a_later_lookup_may_be_joined_on_what_an_earlier_one_added() -> None:
    planes = as_lookup("plane", JoinSettings(by=("k",)), table(k=texts("a"), maker=texts("m")))
    makers = as_lookup(
        "maker",
        JoinSettings(by={"plane_maker": "maker"}, prefix=""),
        table(maker=texts("m"), country=texts("BR")),
    )
    found = join_lookups(ROWS, [planes, makers], settings())
    assert found["country"].to_pylist() == ["BR", None, None, "BR", None]


def test_a_key_that_stands_twice_is_named_with_its_count() -> None:
    twice = table(k=texts("a", "b", "a", "a", None, None), n=pa.array([1, 2, 3, 4, 5, 6]))
    with pytest.raises(DataError, match=r"Got 3 rows for k a, and 1 such keys in all.*duplicates: last"):
        joined(ROWS, twice, by=["k"])
    found = joined(ROWS, twice, by=["k"], duplicates="last")
    assert found["w_n"].to_pylist() == [4, 2, None, 4, None]


def test_as_of_the_same_time_may_stand_once_a_key() -> None:
    twice = table(t=at(1, 1), n=pa.array([1, 2]))
    with pytest.raises(DataError, match="Got 2 rows for t 2026-01-01 00:01:00"):
        joined(ROWS, twice, as_of={"time": "t"})
    assert joined(ROWS, twice, as_of={"time": "t"}, duplicates="last")["w_n"].to_pylist() == [2] * 5


def test_numbers_match_by_value_and_nan_matches_nothing() -> None:
    rows = table(k=pa.array([1, 2, None]))
    lookup = table(k=pa.array([1.0, float("nan"), None]), n=pa.array([10, 20, 30]))
    assert joined(rows, lookup, by=["k"])["w_n"].to_pylist() == [10, None, None]
    nan = table(k=pa.array([float("nan")]))
    assert joined(nan, lookup, by=["k"])["w_n"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("join", "sentence"),
    [
        ({"by": ["q"]}, "w.join.by names 'q', which is no column of the lookup"),
        ({"by": {"q": "k"}, "duplicates": "last"}, "names 'q', which is no column of the rows"),
        ({"as_of": {"time": "tt"}}, "w.join.as_of.time names 'tt', .*did you mean 't'"),
        ({"by": ["k"], "columns": ["tem"], "duplicates": "last"}, "w.join.columns names 'tem', .*'temp'"),
        (
            {"by": ["k"], "columns": ["k"], "prefix": "", "duplicates": "last"},
            "would add the column 'k', which the rows have already; set another `join.prefix`",
        ),
    ],
)
def test_what_is_no_column_is_named(join: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        joined(ROWS, WEATHER, **join)


def test_keys_of_different_kinds_are_named() -> None:
    with pytest.raises(SchemaError, match=r"joins 'k', which is String in the rows, on 'n', which is Int64"):
        joined(ROWS, table(n=pa.array([1]), x=pa.array([1])), by={"k": "n"})


def test_a_row_time_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"row_time must say when a row is, as there is no `data.time`"):
        joined(ROWS, WEATHER, time=None, by=["k"], as_of={"time": "t"})


def test_how_many_rows_match_nothing_is_told() -> None:
    steps: list[Step] = []
    lookup = as_lookup("w", JoinSettings(by=("k",), duplicates="last"), WEATHER)
    join_lookups(ROWS, [lookup], settings(), steps.append)
    assert [step.message for step in steps] == ["w: 2 of 5 rows match nothing"]


def test_no_rows_and_no_lookup_rows() -> None:
    assert joined(ROWS.slice(0, 0), WEATHER, by=["k"], as_of={"time": "t"})["w_temp"].to_pylist() == []
    assert joined(ROWS, WEATHER.slice(0, 0), by=["k"])["w_temp"].to_pylist() == [None] * 5
    assert joined(ROWS, WEATHER.slice(0, 0), as_of={"time": "t"})["w_temp"].to_pylist() == [None] * 5


keys = st.sampled_from(["a", "b", "c", None])
minutes = st.one_of(st.none(), st.integers(-20, 20))
row_lists = st.lists(st.tuples(keys, minutes), max_size=12)
lookup_lists = st.lists(st.tuples(keys, minutes, st.integers(0, 99)), max_size=12)
as_ofs = st.fixed_dictionaries(
    {"time": st.just("t")},
    optional={
        "tolerance_s": st.sampled_from([600.0, 300.0]),
        "available_after_s": st.sampled_from([0.0, 60.0, 300.0]),
    },
)


def lookup_table(values: list[tuple[str | None, int | None, int]]) -> pa.Table:
    k, t, n = zip(*values, strict=True) if values else ((), (), ())
    return table(k=texts(*k), t=at(*t), n=pa.array(n, pa.int64()))


def row_table(values: list[tuple[str | None, int | None]]) -> pa.Table:
    k, t = zip(*values, strict=True) if values else ((), ())
    return table(k=texts(*k), at=at(*t))


def naive(
    row: tuple[str | None, int | None],
    lookup: list[tuple[str | None, int | None, int]],
    as_of: dict[str, Any],
) -> int | None:
    key, time = row
    delay, oldest = as_of.get("available_after_s", 0) / 60, as_of.get("tolerance_s", 1e9) / 60
    seen = [
        (t, place, n)
        for place, (k, t, n) in enumerate(lookup)
        if k is not None and k == key and t is not None and time is not None
        if t + delay <= time and time - t <= oldest
    ]
    return max(seen)[2] if seen else None


@given(rows=row_lists, lookup=lookup_lists, as_of=as_ofs)
def test_as_of_is_what_a_loop_over_all_pairs_finds(
    rows: list[Any], lookup: list[Any], as_of: dict[str, Any]
) -> None:
    found = joined(row_table(rows), lookup_table(lookup), by=["k"], as_of=as_of, duplicates="last")
    assert found["w_n"].to_pylist() == [naive(row, lookup, as_of) for row in rows]


@given(rows=row_lists, lookup=lookup_lists, later=lookup_lists, as_of=as_ofs, now=st.integers(-20, 20))
def test_no_row_sees_what_is_later_than_it(
    rows: list[Any], lookup: list[Any], later: list[Any], as_of: dict[str, Any], now: int
) -> None:
    """Whatever is changed, added or removed after a moment, no row at or before that moment changes."""
    early = [row for row in rows if row[1] is None or row[1] <= now]
    known = [row for row in lookup if row[1] is None or row[1] <= now]
    unknown = [row for row in later if row[1] is not None and row[1] > now]
    before, after = (
        joined(row_table(early), lookup_table(known_then), by=["k"], as_of=as_of, duplicates="last")
        for known_then in (lookup, [*known, *unknown])
    )
    assert before.equals(after)


@given(rows=row_lists, lookup=lookup_lists, as_of=st.none() | as_ofs, data=st.data())
def test_order_and_blocks_of_rows_do_not_matter(
    rows: list[Any], lookup: list[Any], as_of: dict[str, Any] | None, data: st.DataObject
) -> None:
    found = as_lookup(
        "w",
        JoinSettings.model_validate({"by": ["k"], "as_of": as_of, "duplicates": "last"}),
        lookup_table(lookup),
    )
    whole = join_lookups(row_table(rows), [found], settings()).to_pylist()
    order = data.draw(st.permutations(range(len(rows))))
    cut = data.draw(st.integers(0, len(rows)))
    shuffled = row_table([rows[place] for place in order])
    blocks = [
        join_lookups(part, [found], settings()) for part in (shuffled.slice(0, cut), shuffled.slice(cut))
    ]
    assert pa.concat_tables(blocks).to_pylist() == [whole[place] for place in order]
