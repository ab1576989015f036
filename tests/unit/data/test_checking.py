"""What breaks the contract, told without keeping anything; and rules proposed from rows, which keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyarrow import parquet

from raypipe.config.load import parse_config
from raypipe.config.yaml_text import parse_yaml
from raypipe.core.errors import ConfigError
from raypipe.data.checking import Findings, check_sources, check_version
from raypipe.data.config import DataSettings
from raypipe.data.suggesting import suggest, to_yaml
from raypipe.testing.data import Lake, SourceInMemory

NOW = datetime(2026, 1, 31, tzinfo=UTC)
CONTRACT = {
    "columns": {
        "age": {"kind": "integer", "min": 0, "on_violation": "drop"},
        "city": {"allowed": ["Bern"], "nullable": False},
    },
    "rows": [{"must": "age <> 13", "on_violation": "stop"}],
    "unique": [{"by": "id"}],
    "freshness": {"max_age_s": 86_400, "on_violation": "warn"},
    "max_bad_ratio": 0.9,
}


def settings(path: Path, **contract: Any) -> DataSettings:
    source = {"name": "people", "format": "csv", "path": str(path)}
    return DataSettings.model_validate(
        {"sources": [source], "label": "y", "time": "at", "contract": {**CONTRACT, **contract}}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "people"
    place.mkdir()
    (place / "a.csv").write_text(
        "id,age,city,at,y\n1,30,Bern,2026-01-01,1\n2,-4,Bern,2026-01-02,0\n3,old,Rome,2026-01-02,1\n"
    )
    (place / "b.csv").write_text(
        "id,age,city,at,y\n1,40,Bern,2026-01-03,1\n9,13,,2026-01-04,1\n10,5,Bern,,1\n"
    )
    return place


def told(found: Findings) -> list[tuple[str, str, str, int]]:
    return [(one.column, one.rule, one.action, one.n_rows) for one in found.broken]


def test_each_broken_rule_is_told_with_what_would_be_done(folder: Path) -> None:
    found = check_sources(settings(folder), now=NOW)
    assert (found.n_rows, found.n_bad) == (6, 5)
    assert told(found)[:-1] == [
        ("age", "must be of kind integer", "drop", 1),
        ("age", "must be >= 0", "drop", 1),
        ("city", "must not be null", "quarantine", 1),
        ("age", "must be age <> 13", "stop", 1),
        ("at", "time is null", "drop", 1),
        ("id", "must be unique", "quarantine", 1),
    ]
    assert found.broken[-1].rule.startswith(
        "must be at most 1 days old at the newest: the newest is of 2026-01-03"
    )
    (example,) = found.broken[0].examples
    assert (example.piece, example.value) == (str(folder / "a.csv"), "old") and '"city":"Rome"' in example.row
    (repeat,) = found.broken[5].examples
    assert (repeat.piece, repeat.value) == (str(folder / "b.csv"), "1")


def test_refusals_of_the_whole_are_told(folder: Path) -> None:
    found = check_sources(settings(folder, max_bad_ratio=0.1, min_rows=4), now=NOW)
    assert [(one.rule, one.action) for one in found.broken[-2:]] == [
        ("max_bad_ratio 0.1: 5 of 6 rows break the contract", "stop"),
        ("min_rows 4: 1 are left", "stop"),
    ]


def test_files_at_other_paths_are_checked_as_the_source_reads_them(folder: Path) -> None:
    (folder / "c.txt").write_text("id;age;city;at;y\n1;30;Bern;2026-01-30T12:00:00Z;1\n")
    found = check_sources(settings(folder), now=NOW, paths=[str(folder / "c.txt")])
    assert (found.n_rows, found.broken) == (1, ())


def test_only_three_examples_are_shown(folder: Path) -> None:
    lines = "".join(f"{n},-{n + 1},Bern,2026-01-30T12:00:00Z,1\n" for n in range(9))
    (folder / "a.csv").write_text("id,age,city,at,y\n" + lines)
    (folder / "b.csv").unlink()
    (one,) = check_sources(settings(folder, max_bad_ratio=1, min_rows=0), now=NOW).broken
    assert (one.n_rows, [example.value for example in one.examples]) == (9, ["-1", "-2", "-3"])


def test_paths_need_a_source_of_files(folder: Path) -> None:
    sql = {"name": "s", "format": "sql", "url": "sqlite://", "table": "t"}
    declared = DataSettings.model_validate({"sources": [sql], "label": "y"})
    with pytest.raises(ConfigError, match="PATHS are read as a source of files is"):
        check_sources(declared, now=NOW, paths=["x"])


def test_integers_and_numbers_of_other_pieces_are_one_key(tmp_path: Path) -> None:
    for name, ids in (("a", pa.array([1, 2])), ("b", pa.array([2.0, 2.5]))):
        parquet.write_table(pa.table({"id": ids, "y": [1, 1]}), tmp_path / f"{name}.parquet")
    source = {"name": "s", "format": "parquet", "path": str(tmp_path)}
    declared = DataSettings.model_validate(
        {"sources": [source], "label": "y", "contract": {"unique": [{"by": "id"}]}}
    )
    assert told(check_sources(declared, now=NOW)) == [("id", "must be unique", "quarantine", 1)]


def test_a_version_is_checked_without_its_sources(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    tables = [pa.table({"id": [n, 7], "x": [n, 100], "y": [1, 1]}) for n in range(3)]
    version = lake.ingest(SourceInMemory("s", tables))
    before = sorted(lake.folder.root.rglob("*"))
    declared = DataSettings.model_validate(
        {
            "sources": [{"name": "s", "format": "csv", "path": "nowhere"}],
            "label": "y",
            "contract": {"columns": {"x": {"max": 50}}, "unique": [{"by": "id"}], "max_bad_ratio": 1},
        }
    )
    found = check_version(lake.folder, version, declared, now=NOW)
    assert told(found) == [("x", "must be <= 50", "quarantine", 3)]
    assert sorted(lake.folder.root.rglob("*")) == before


def proposed(lake: Lake, version: Any, **more: Any) -> tuple[str, DataSettings]:
    declared = DataSettings.model_validate(
        {"sources": [{"name": "s", "format": "csv", "path": "nowhere"}], "label": "y", **more}
    )
    text = "\n".join(to_yaml(suggest(lake.folder, version, declared)))
    document: Any = parse_yaml(text, {})
    whole = declared.model_dump(mode="json", exclude_defaults=True) | document["data"]
    return text, parse_config({"name": "p", "data": whole}, Path("/")).data


def test_what_is_proposed_says_why(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "id": [f"row {n}" for n in range(200)],
            "age": [18 + n % 50 for n in range(200)],
            "balance": [None if n == 3 else n - 20.5 for n in range(200)],
            "city": ["Bern" if n % 2 else "yes: no" for n in range(200)],
            "at": [start + timedelta(hours=n) for n in range(200)],
            "empty": pa.nulls(200, pa.string()),
            "y": [n % 2 for n in range(200)],
        }
    )
    version = lake.ingest(SourceInMemory("s", [table]), time="at")
    text, declared = proposed(lake, version, time="at")
    lines = [line.strip() for line in text.splitlines()]
    assert "age: {kind: integer, nullable: false, min: 0.0, max: 120.0}   " in text
    assert "# 50 distinct, none missing in 200 rows, 18 to 67 seen, range widened" in text
    assert "balance: {kind: number, min: -220.0, max: 380.0}   # 199 distinct, 1 of 200 missing" in text
    assert "city: {kind: category, nullable: false, allowed: [Bern, 'yes: no']}" in text
    assert "- {by: [id]}   # no two of 200 rows have the same" in lines
    assert "min_rows: 100   # half of the 200 rows" in lines
    assert any(line.startswith("# freshness: {max_age_s: ...}   # at ended ") for line in lines)
    assert "empty" not in text and "at: {kind: timestamp}" in text and "y: {kind: integer, min" in text
    assert declared.contract.columns["id"].allowed is None
    assert declared.contract.unique[0].by == ("id",)


def test_rows_that_were_left_out_may_miss_what_others_have(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = pa.table({"x": [1, None], "y": [1, None]})
    text, declared = proposed(lake, lake.ingest(SourceInMemory("s", [table])))
    assert "nullable" not in text
    again = lake.ingest(SourceInMemory("s", [table]), contract=declared.contract.model_dump())
    assert (again.n_rows, again.n_unlabelled, again.broken) == (1, 1, ())


def test_a_declared_key_that_repeats_is_not_proposed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    version = lake.ingest(SourceInMemory("s", [pa.table({"a": [1, 1], "b": [1, 2], "y": [1, 1]})]))
    assert "unique" not in proposed(lake, version, key="a")[0]
    assert (
        "- {by: [a, b]}   # no two of 2 rows have the same, data.key"
        in proposed(lake, version, key=["a", "b"])[0]
    )


NAMES = st.sampled_from(["a", "on", "x y", "ä:{}", "1", "~"])
VALUES: dict[str, tuple[Any, pa.DataType]] = {
    "number": (st.floats(allow_nan=True, allow_infinity=True), pa.float64()),
    "small": (st.floats(-1e-300, 1e-300), pa.float64()),
    "integer": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "boolean": (st.booleans(), pa.bool_()),
    "category": (st.text(max_size=4), pa.string()),
    "code": (st.sampled_from(["no", "~", "1e3", "${HOME}", "'", "a # b", "\n", "\x85", " "]), pa.string()),
    "time": (
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        pa.timestamp("us", "UTC"),
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    n_rows = draw(st.integers(1, 60))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    columns = {}
    for name in names:
        values, type = VALUES[draw(st.sampled_from(sorted(VALUES)))]
        few = draw(st.lists(values | st.none(), min_size=1, max_size=6))
        columns[name] = pa.array([few[draw(st.integers(0, len(few) - 1))] for _ in range(n_rows)], type)
    return pa.table({**columns, "y": [1] * n_rows})


@examples(max_examples=60, deadline=None)
@given(table=tables(), n_pieces=st.integers(1, 3))
def test_the_rows_keep_what_is_proposed_from_them(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, n_pieces: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    pieces = [table.slice(n * table.num_rows // n_pieces, table.num_rows) for n in range(n_pieces)]
    version = lake.ingest(SourceInMemory("s", pieces))
    _, declared = proposed(lake, version, key=table.column_names[:1])
    found = check_version(lake.folder, version, declared, now=NOW)
    assert not found.broken
    again = lake.ingest(SourceInMemory("s", pieces), contract=declared.contract.model_dump())
    assert (again.n_rows, again.broken) == (version.n_rows, ())
    # polars holds NaN to be equal to itself.
    assert pl.DataFrame(lake.rows(again)).equals(pl.DataFrame(lake.rows(version)))
