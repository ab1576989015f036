from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ArtifactError, StorageError
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift import counts
from raypipe.monitoring.reference import (
    REFERENCE_NAME,
    CategoryBins,
    NumberBins,
    PresenceBins,
    Reference,
    ReferenceColumn,
    read_reference,
    write_reference,
)
from raypipe.testing import FailingDisk

ROWS = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(),
        "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
        "boolean": st.none() | st.booleans(),
        "category": st.none() | st.text(st.characters(codec="utf-8"), max_size=2),
        "timestamp": st.none() | st.datetimes(timezones=st.just(UTC)),
    }
)
SCHEMA = pa.schema(
    {
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
)


def reference_of(table: pa.Table) -> Reference:
    return Reference.of(Profile.of_table(table), schema_columns(table.schema))


def column_of(values: list[object], type: pa.DataType | None = None) -> ReferenceColumn:
    return reference_of(pa.table({"x": pa.array(values, type)})).columns[0]


@given(st.lists(ROWS, max_size=40))
def test_the_training_rows_counted_again_give_the_same_counts(rows: list[dict[str, object]]) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    reference = reference_of(table)
    assert counts(reference, table).columns == tuple(one.counts for one in reference.columns)
    assert [one.n_rows for one in reference.columns] == [len(rows)] * 5


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_counts_are_exact_also_where_quantiles_are_not(scale: float) -> None:
    values = np.random.default_rng(0).normal(size=50_000) * scale
    values[::7] = 0.0
    table = pa.table({"x": values})
    [one] = reference_of(table).columns
    assert counts(reference_of(table), table).columns == (one.counts,)


def test_many_numbers_have_ten_bins_of_nearly_equally_many() -> None:
    one = column_of(list(np.random.default_rng(0).normal(size=20_000)))
    assert isinstance(one.bins, NumberBins)
    assert len(one.bins.edges) == 10
    below, *inside, above, missing = one.counts
    assert (below, above, missing) == (0, 0, 0)
    assert max(inside) - min(inside) < 100


def test_few_numbers_have_a_bin_each() -> None:
    one = column_of([3, 1, 2, 1, None])
    assert one.bins == NumberBins(1.0, (1.0, 2.0, 3.0))
    assert one.counts == (0, 2, 1, 1, 0, 1)


def test_a_frequent_value_takes_several_shares() -> None:
    one = column_of([0.0] * 60 + [float(i) for i in range(1, 41)])
    assert isinstance(one.bins, NumberBins)
    assert one.bins.edges == (0.0, 10.0, 20.0, 30.0, 40.0)
    assert one.counts == (0, 60, 10, 10, 10, 10, 0, 0)


def test_booleans_are_numbers() -> None:
    one = column_of([True, False, True, None])
    assert (one.bins, one.counts) == (NumberBins(0.0, (0.0, 1.0)), (0, 1, 2, 0, 1))


def test_a_column_without_a_finite_number_has_one_bin() -> None:
    one = column_of([None, float("nan"), float("inf")], pa.float64())
    assert (one.bins, one.counts) == (PresenceBins(), (0, 3))


def test_of_timestamps_only_their_presence_counts() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    one = column_of([start + timedelta(days=i) for i in range(5)] + [None], pa.timestamp("us", "UTC"))
    assert (one.bins, one.counts) == (PresenceBins(), (5, 1))


def test_categories_beyond_the_most_frequent_share_a_bin() -> None:
    values = [f"c{i:02}" for i in range(20) for _ in range(20 - i)]
    one = column_of([*values, None])
    assert isinstance(one.bins, CategoryBins)
    assert one.bins.own == tuple(f"c{i:02}" for i in range(15))
    assert one.bins.others == tuple(f"c{i:02}" for i in range(15, 20))
    assert one.counts == (*range(20, 5, -1), 15, 0, 1)


def test_too_many_categories_are_not_all_kept() -> None:
    one = column_of([f"c{i}" for i in range(1_001)] + ["often"] * 9)
    assert isinstance(one.bins, CategoryBins)
    assert one.bins.own[0] == "often"
    assert (one.bins.others, one.bins.unseen) == (None, ())
    assert one.counts[-2:] == (1_001 - 14, 0)


@given(st.lists(ROWS, max_size=20))
def test_a_reference_is_kept(rows: list[dict[str, object]]) -> None:
    reference = reference_of(pa.Table.from_pylist(rows, SCHEMA))
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


def test_a_reference_lies_in_the_folder_of_its_version(tmp_path: Path) -> None:
    reference = reference_of(pa.table({"x": [1.5, 2.5], "c": ["a", "b"]}))
    write_reference(tmp_path, reference)
    assert read_reference(tmp_path) == reference
    assert [column.name for column in reference.inputs] == ["x", "c"]
    with pytest.raises(StorageError, match="disk is full"):
        write_reference(tmp_path, reference, FailingDisk(errno.ENOSPC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2, "columns": []}',
        '{"format": 1, "columns": [{}]}',
        '{"format": 1, "columns": [{"column": {"name": "x", "kind": "number", "nullable": true}, '
        '"bins": {"minimum": 0, "edges": [1]}, "counts": [1, 2]}]}',
        '{"format": 1, "columns": [{"column": {"name": "x", "kind": "number", "nullable": true}, '
        '"bins": {"edges": 1}, "counts": [1, 2]}]}',
        '{"format": 1, "columns": [{"column": {"name": "x", "kind": "number", "nullable": true}, '
        '"bins": {}, "counts": ["1", 2]}]}',
    ],
)
def test_what_is_no_reference_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / REFERENCE_NAME).write_text(text)
    with pytest.raises(ArtifactError, match=r"reference\.json cannot be read as a reference"):
        read_reference(tmp_path)


def test_a_version_without_a_reference_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read as a reference"):
        read_reference(tmp_path)
