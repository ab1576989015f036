from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError
from raypipe.data.distinct import KeyOrder, one_of_each
from raypipe.processing.config import DeduplicateSettings
from raypipe.processing.duplicates import kept_rows, read_by, without_duplicates

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = pa.table(
    {
        "id": [1, 2, 1, 3, 2],
        "x": [1.0, None, 1.0, float("nan"), None],
        "t": [START + timedelta(hours=hour) for hour in (3, 2, 1, 0, 2)],
        "_id": ["a", "b", "c", "d", "e"],
    }
)
NAMES = ["id", "x", "t"]


def distinct(
    rows: pa.Table, settings: DeduplicateSettings | None, columns: Sequence[str], time: str | None
) -> pa.Table:
    with TemporaryDirectory() as place:
        keys, scratch = Path(place) / "keys", Path(place) / "scratch"
        return without_duplicates(rows, settings, columns, time, keys=keys, scratch=scratch)


def kept(time: str | None = None, **settings: object) -> list[str]:
    rows = distinct(ROWS, DeduplicateSettings.model_validate(settings), NAMES, time)
    found: list[str] = rows["_id"].to_pylist()
    return found


def test_the_last_read_of_equal_rows_stays() -> None:
    assert kept(by=["id"]) == ["c", "d", "e"]
    assert kept(by=["id"], keep="first") == ["a", "b", "d"]


def test_with_event_time_the_newest_stays() -> None:
    assert kept("t", by=["id"]) == ["a", "d", "e"]
    assert kept("t", by=["id"], keep="first") == ["b", "c", "d"]


def test_all_columns_of_the_data_are_compared_and_no_others() -> None:
    assert kept() == ["a", "c", "d", "e"]


def test_without_settings_nothing_is_dropped() -> None:
    assert distinct(ROWS, None, NAMES, "t") is ROWS


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"processing.deduplicate.by must name columns .* Got 'idd': did you mean"
    ):
        kept(by=["idd"])


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2)), max_size=30), st.booleans())
def test_one_of_each_stays_in_order(rows: list[tuple[int, int | None]], first: bool) -> None:
    table = pa.table(
        {
            "a": pa.array([a for a, _ in rows], pa.int64()),
            "b": pa.array([b for _, b in rows], pa.int64()),
            "place": pa.array(range(len(rows)), pa.int64()),
        }
    )
    settings = DeduplicateSettings(keep="first" if first else "last")
    places = distinct(table, settings, ["a", "b"], None)["place"].to_pylist()
    by_value: dict[tuple[int, int | None], int] = {}
    for place, row in enumerate(rows):
        by_value[row] = by_value.get(row, place) if first else place
    assert places == sorted(by_value.values())


COLUMNS = {
    "number": (st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), None]), pa.float64()),
    "integer": (st.sampled_from([0, 1, -(2**63), None]), pa.int64()),
    "text": (st.sampled_from(["", "a", "\x00", "b", None]), pa.large_string()),
    "truth": (st.sampled_from([True, False, None]), pa.bool_()),
    "t": (st.sampled_from([START + timedelta(hours=n) for n in range(3)]), pa.timestamp("us", "UTC")),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    n_rows = draw(st.integers(0, 40))
    return pa.table(
        {
            name: pa.array(draw(st.lists(values, min_size=n_rows, max_size=n_rows)), type)
            for name, (values, type) in COLUMNS.items()
        }
    )


@given(
    table=tables(),
    by=st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True),
    keep=st.sampled_from(["first", "last"]),
    time=st.sampled_from(["t", None]),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    held_rows=st.integers(1, 50),
)
def test_any_split_into_blocks_on_disk_keeps_the_rows_that_a_frame_in_memory_does(
    table: pa.Table,
    by: list[str],
    keep: Literal["first", "last"],
    time: str | None,
    cuts: list[int],
    held_rows: int,
) -> None:
    settings = DeduplicateSettings(by=tuple(by), keep=keep)
    frame = pl.DataFrame(pl.from_arrow(table)).with_row_index("_place")
    ordered = frame if time is None else frame.sort(time, maintain_order=True)
    expected = sorted(ordered.unique(subset=by, keep=keep, maintain_order=True)["_place"].to_list())
    ends = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    read = table.select(read_by(settings, table.column_names, time))
    blocks = [read.slice(start, end - start) for start, end in pairwise(ends)]
    with TemporaryDirectory() as place:
        found = kept_rows(
            blocks,
            table.num_rows,
            settings,
            table.column_names,
            time,
            keys=Path(place) / "keys",
            scratch=Path(place) / "scratch",
            held_rows=held_rows,
        )
        assert not list((Path(place) / "scratch").iterdir())
    assert np.flatnonzero(found).tolist() == expected


@pytest.mark.parametrize(("n_keys", "n_kept"), [(50_000, 50_000), (1, 1)])
def test_what_is_in_memory_does_not_grow_with_the_keys(tmp_path: Path, n_keys: int, n_kept: int) -> None:
    """Each bucket is read as a whole, and holds at most `held_rows` entries of 32 bytes."""
    held_rows, n_rows, sizes = 1_000, 50_000, list[int]()

    def batches() -> Iterator[pl.DataFrame]:
        for start in range(0, n_rows, 500):
            yield pl.DataFrame({"id": [n % n_keys for n in range(start, start + 500)]})
            sizes.extend(file.stat().st_size for file in tmp_path.iterdir())

    order = KeyOrder("last")
    kept = one_of_each(batches(), n_rows, ["id"], order, salt=(1, 2), place=tmp_path, held_rows=held_rows)
    assert kept.sum() == n_kept and kept[-1]
    assert 0 < max(sizes) <= held_rows * 32
    assert sum(sizes[-100:]) > held_rows * 32 or n_keys == 1
    assert not list(tmp_path.iterdir())
