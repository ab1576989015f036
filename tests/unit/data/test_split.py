from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raypipe.core.errors import DataError
from raypipe.data.config import SplitSettings
from raypipe.data.split import Split, split_rows

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = SplitSettings(validation=0.2, test=0.2)


def table(hours: list[int]) -> pa.Table:
    times = pa.array([START + timedelta(hours=hour) for hour in hours], pa.timestamp("us", "UTC"))
    return pa.table({"row": range(len(hours)), "t": times})


def rows(part: pa.Table) -> list[int]:
    values: list[int] = part["row"].to_pylist()
    return values


def parts(split: Split) -> tuple[pa.Table, ...]:
    return split.train, split.validation, split.test


def test_the_newest_rows_judge() -> None:
    split = split_rows(table([9, 1, 8, 2, 7, 3, 6, 4, 5, 0]), SETTINGS, time="t", seed=0)
    assert [rows(part) for part in parts(split)] == [[9, 1, 3, 5, 7, 8], [6, 4], [2, 0]]
    assert split.by == "time"
    assert split.boundaries == ("2026-01-01T06:00:00+00:00", "2026-01-01T08:00:00+00:00")


def test_a_time_is_never_in_two_parts_and_the_newer_takes_it() -> None:
    split = split_rows(table([0, 1, 2, 3, 4, 5, 5, 5, 6, 7]), SETTINGS, time="t", seed=0)
    assert [rows(part) for part in parts(split)] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_parts_are_disjoint_complete_and_ordered(hours: list[int], validation: float, test: float) -> None:
    try:
        split = split_rows(table(hours), SplitSettings(validation=validation, test=test), time="t", seed=0)
    except DataError:
        assume(False)
    assert sorted(row for part in parts(split) for row in rows(part)) == list(range(len(hours)))
    times = [part["t"].to_pylist() for part in parts(split)]
    assert max(times[0]) < min(times[1]) and max(times[1]) < min(times[2])
    assert all(part == sorted(part) for part in times)
    assert [min(times[1]).isoformat(), min(times[2]).isoformat()] == list(split.boundaries)


def test_at_random_a_seed_decides() -> None:
    first = split_rows(table(list(range(100))), SETTINGS, time=None, seed=3)
    again = split_rows(table(list(range(100))), SETTINGS, time=None, seed=3)
    other = split_rows(table(list(range(100))), SETTINGS, time=None, seed=4)
    assert first == again and first != other
    assert [part.num_rows for part in parts(first)] == [60, 20, 20]
    assert sorted(row for part in parts(first) for row in rows(part)) == list(range(100))
    assert first.by == "random" and first.boundaries == ()


@pytest.mark.parametrize(
    ("hours", "time", "name"),
    [
        ([0] * 10, "t", "training"),
        ([], "t", "training"),
        ([0, 1], None, "validation"),
        ([], None, "training"),
    ],
)
def test_a_part_without_rows_is_refused(hours: list[int], time: str | None, name: str) -> None:
    with pytest.raises(DataError, match=rf"leaves the {name} part without rows"):
        split_rows(table(hours), SETTINGS, time=time, seed=0)
