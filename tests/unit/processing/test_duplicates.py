from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError
from raypipe.processing.config import DeduplicateSettings
from raypipe.processing.duplicates import without_duplicates

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


def kept(time: str | None = None, **settings: object) -> list[str]:
    rows = without_duplicates(ROWS, DeduplicateSettings.model_validate(settings), NAMES, time)
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
    assert without_duplicates(ROWS, None, NAMES, "t") is ROWS


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
    places = without_duplicates(table, settings, ["a", "b"], None)["place"].to_pylist()
    by_value: dict[tuple[int, int | None], int] = {}
    for place, row in enumerate(rows):
        by_value[row] = by_value.get(row, place) if first else place
    assert places == sorted(by_value.values())
