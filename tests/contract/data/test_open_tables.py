"""What raypipe keeps is an ordinary Delta table: other readers and writers agree on what is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from raypipe.data.table import Write, commit, open_table, overwrite, read_version

ROWS = pa.table(
    {
        "number": [1.5, None],
        "integer": [1, 2],
        "flag": [True, None],
        "word": pa.array(["ä", None], pa.large_string()),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    }
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    overwrite(tmp_path / "t", Write(ROWS, "d-1"))
    overwrite(tmp_path / "t", Write(ROWS.slice(1), "d-2"))
    return tmp_path / "t"


def test_polars_reads_every_version(path: Path) -> None:
    assert pl.read_delta(str(path)).rows() == [tuple(row.values()) for row in ROWS.slice(1).to_pylist()]
    assert pl.read_delta(str(path), version=1).height == 2


def test_sql_over_deltalake_reads_it(path: Path) -> None:
    query = QueryBuilder().register("t", DeltaTable(str(path))).execute("SELECT word, at FROM t")
    assert pa.table(query.read_all()).to_pylist() == [{"word": None, "at": None}]


def test_deltalake_appends_beside_our_own_commits(path: Path) -> None:
    write_deltalake(str(path), read_version(path, 1), mode="append")
    table = open_table(path, ROWS.schema)
    commit(table, path, Write(ROWS, "d-3"), mode="append")
    assert read_version(path, None).num_rows == 1 + 2 + 2
    assert read_version(path, 2).num_rows == 1
