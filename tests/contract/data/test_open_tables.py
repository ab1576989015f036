"""What raypipe keeps is an ordinary Delta table: other readers and writers agree on what is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from pyarrow import parquet

from raypipe.core.home import Home, PipelineHome
from raypipe.data.config import DataSettings
from raypipe.data.fragments import read_rows
from raypipe.data.ingest import ingest
from raypipe.data.table import Write, commit, open_table, read_version
from raypipe.data.versions import DataVersion
from raypipe.testing import FakeClock
from raypipe.testing.data import VersionsInMemory

ROWS = pa.table(
    {
        "number": [1.5, None],
        "integer": [1, 2],
        "flag": [True, None],
        "word": pa.array(["ä", None], pa.large_string()),
        "a b,;{}=": pa.array(["a", "b"]).dictionary_encode(),
        "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    }
)
MORE = pa.table(
    {
        "number": [2.5],
        "integer": [0.5],
        "flag": [None],
        "word": pa.nulls(1),
        "a b,;{}=": ["c"],
        "at": pa.array([None], pa.timestamp("us", "UTC")),
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path / "home").pipeline("p")


@pytest.fixture
def versions(tmp_path: Path, folder: PipelineHome) -> tuple[DataVersion, ...]:
    """Two versions: the second has integers that became numbers, and columns without any value."""
    source = {"name": "files", "format": "parquet", "path": str(tmp_path / "rows")}
    settings = DataSettings.model_validate({"sources": [source], "label": "integer"})
    known = VersionsInMemory()
    (tmp_path / "rows").mkdir()
    made = []
    for name, rows in (("1.parquet", ROWS), ("2.parquet", MORE)):
        parquet.write_table(rows, tmp_path / "rows" / name)
        made.append(ingest(settings, folder, known, clock=FakeClock()))
    return tuple(made)


def test_polars_reads_every_version(folder: PipelineHome, versions: tuple[DataVersion, ...]) -> None:
    for version in versions:
        ours = pl.DataFrame(pl.from_arrow(read_rows(folder, version)))
        theirs = pl.read_delta(str(folder.rows), version=version.table_version).select(ours.columns)
        assert theirs.sort("number").equals(ours.sort("number"))
        assert theirs.schema == ours.schema


def test_sql_over_deltalake_reads_it(folder: PipelineHome, versions: tuple[DataVersion, ...]) -> None:
    table = DeltaTable(str(folder.rows))
    query = (
        QueryBuilder().register("t", table).execute("SELECT word, integer, _source FROM t ORDER BY number")
    )
    assert pa.table(query.read_all()).to_pylist() == [
        {"word": "ä", "integer": 1.0, "_source": "files"},
        {"word": None, "integer": 0.5, "_source": "files"},
        {"word": None, "integer": 2.0, "_source": "files"},
    ]


def test_deltalake_appends_beside_our_own_commits(tmp_path: Path) -> None:
    path = tmp_path / "t"
    plain = ROWS.select(["number", "integer"])
    commit(open_table(path, plain.schema), path, Write(plain, "one"), mode="append")
    write_deltalake(str(path), read_version(path, 1), mode="append")
    commit(open_table(path, plain.schema), path, Write(plain, "two"), mode="append")
    assert read_version(path, None).num_rows == 6
    assert read_version(path, 1).num_rows == 2
