"""A database as a source, on SQLite: whole, and by a cursor whose rows are each read once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError, SourceError
from raypipe.core.ids import Json
from raypipe.data.sources.config import SqlSettings
from raypipe.data.sources.cursors import behind, checked, from_json, to_json
from raypipe.data.sources.rows import read_canonical
from raypipe.data.sources.source import Extent
from raypipe.data.sources.sql import SqlSource

Insert = Callable[..., None]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "rows.db")
    connection.execute("CREATE TABLE orders (id INTEGER, at TEXT, amount REAL, note TEXT)")
    yield connection
    connection.close()


def insert(database: sqlite3.Connection, *ids: int | None) -> None:
    database.executemany("INSERT INTO orders VALUES (?, NULL, 0.5, 'a:b')", [(id,) for id in ids])
    database.commit()


def source(tmp_path: Path, **more: Any) -> SqlSource:
    what = {} if "query" in more else {"table": "orders"}
    declared = {"name": "s", "format": "sql", "url": f"sqlite:///{tmp_path}/rows.db", **what, **more}
    return SqlSource(SqlSettings.model_validate(declared))


def ids(found: SqlSource, after: Json = None) -> list[list[int]]:
    return [found.read(piece)["id"].to_pylist() for piece in found.pieces(after)]


def test_a_table_is_one_piece_read_anew_each_time(tmp_path: Path, database: sqlite3.Connection) -> None:
    insert(database, 2, 1)
    found = source(tmp_path)
    (piece,) = found.pieces(None)
    assert (found.is_appended, piece.digest, piece.position) == (False, None, None)
    assert found.read(piece).to_pydict() == {
        "id": [2, 1],
        "at": [None, None],
        "amount": [0.5, 0.5],
        "note": ["a:b", "a:b"],
    }
    assert found.extent(None) == Extent(1, 2, None)


def test_a_query_may_hold_colons_percents_and_a_semicolon(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    insert(database, 1, 2)
    found = source(tmp_path, query="SELECT id, ' :x %s' AS q FROM orders WHERE note LIKE 'a:%';", cursor="id")
    (piece,) = found.pieces(None)
    assert found.read(piece).to_pydict() == {"id": [1, 2], "q": [" :x %s"] * 2}
    assert found.extent(1) == Extent(1, 1, None)


def test_pieces_end_at_a_cursor_value_and_never_part_its_rows(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    insert(database, 5, 1, 1, 1, 2, 3, 4)
    found = source(tmp_path, cursor="id", batch_rows=2)
    assert ids(found) == [[1, 1, 1], [2, 3], [4, 5]]
    assert [piece.position for piece in found.pieces(None)] == [1, 3, 5]
    assert [piece.name for piece in found.pieces(None)][1] == "table orders, id after 1 to 3"


def test_only_what_is_new_comes_after_a_position(tmp_path: Path, database: sqlite3.Connection) -> None:
    insert(database, 1, 2)
    found = source(tmp_path, cursor="id")
    assert ids(found, after=2) == []
    insert(database, 3, 4)
    assert ids(found, after=2) == [[3, 4]]
    assert found.extent(2) == Extent(1, 2, None)


def test_a_lag_leaves_the_newest_values_for_later(tmp_path: Path, database: sqlite3.Connection) -> None:
    insert(database, 1, 2, 5)
    found = source(tmp_path, cursor="id", lag=3)
    assert ids(found) == [[1, 2]]
    insert(database, 4)  # committed late: it would have been passed over without the lag
    insert(database, 9)
    assert ids(found, after=2) == [[4, 5]]


@settings(max_examples=40)
@given(rows=st.lists(st.integers(0, 9), min_size=1, max_size=30), batch=st.integers(1, 5), stops=st.data())
def test_however_often_it_is_stopped_each_row_comes_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], batch: int, stops: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("db")
    connection = sqlite3.connect(folder / "rows.db")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE orders (id INTEGER)")
    position, kept = None, []
    for start in range(0, len(rows), 10):
        grown = [100 * start + value for value in rows[start : start + 10]]
        connection.executemany("INSERT INTO orders VALUES (?)", [(value,) for value in grown])
        connection.commit()
        found = source(folder, cursor="id", batch_rows=batch)
        for piece in found.pieces(position):
            if stops.draw(st.booleans()):
                break
            kept += source(folder, cursor="id").read(piece)["id"].to_pylist()
            position = piece.position
    kept += [id for part in ids(source(folder, cursor="id", batch_rows=batch), position) for id in part]
    known = connection.execute("SELECT id FROM orders ORDER BY id").fetchall()
    connection.close()
    assert kept == [id for (id,) in known]


def test_rows_without_a_cursor_value_are_told(tmp_path: Path, database: sqlite3.Connection) -> None:
    insert(database, 1, None, None)
    with pytest.raises(SourceError, match=r"must have a value in every row\. Got 2 rows without one"):
        list(source(tmp_path, cursor="id").pieces(None))


def test_nothing_at_all_is_told_and_nothing_new_is_nothing(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    with pytest.raises(SourceError, match=r"source s has no rows: sqlite.*table orders is empty"):
        list(source(tmp_path, cursor="id").pieces(None))
    assert list(source(tmp_path, cursor="id").pieces(7)) == []
    found = source(tmp_path)
    (piece,) = found.pieces(None)
    with pytest.raises(SourceError, match="table orders of source s holds no rows"):
        read_canonical(found, piece, {}, ())


def test_times_of_text_become_times_where_the_contract_says_so(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    database.execute("INSERT INTO orders VALUES (1, '2026-01-02 03:04:05.5', 1, '')")
    database.commit()
    found = source(tmp_path)
    (piece,) = found.pieces(None)
    rows = read_canonical(found, piece, {"at": "timestamp"}, ()).table
    assert rows["at"].to_pylist() == [datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC)]


def test_a_file_that_is_absent_is_not_made(tmp_path: Path, database: sqlite3.Connection) -> None:
    absent = SqlSettings(name="s", format="sql", url=f"sqlite:///{tmp_path}/row.db", table="t")
    with pytest.raises(SourceError, match=r"row\.db of source s does not exist; did you mean 'rows\.db'"):
        SqlSource(absent).extent(None)
    assert not (tmp_path / "row.db").exists()


def test_nothing_is_ever_written(tmp_path: Path, database: sqlite3.Connection) -> None:
    insert(database, 1)
    writes = source(tmp_path, query="DELETE FROM orders RETURNING id")
    with pytest.raises(SourceError):
        writes.read(next(writes.pieces(None)))
    assert database.execute("SELECT COUNT(*) FROM orders").fetchone() == (1,)


def test_what_the_database_says_is_one_sentence(tmp_path: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(SourceError, match=r"source s cannot be read from sqlite.*: no such table: absent"):
        source(tmp_path, table="absent").extent(None)


def test_a_driver_that_is_absent_is_told() -> None:
    absent = SqlSettings(name="s", format="sql", url="mysql+pymysql://h/x", table="t")
    with pytest.raises(ConfigError, match=r"needs the driver pymysql, .*`pip install the package that"):
        SqlSource(absent).extent(None)
    unknown = SqlSettings(name="s", format="sql", url="nosql://h/x", table="t")
    with pytest.raises(ConfigError, match="must name a database that SQLAlchemy knows"):
        SqlSource(unknown).extent(None)


@pytest.mark.parametrize(
    "value", [7, 0.1, "01J", date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, 6), datetime.now(UTC)]
)
def test_a_cursor_survives_json(value: Any) -> None:
    assert from_json(to_json(checked(value, "s"))) == value
    assert type(from_json(to_json(value))) is type(value)


def test_what_is_no_cursor_is_refused() -> None:
    assert checked(Decimal("12"), "s") == 12
    for value in (True, Decimal("0.5"), b"x"):
        with pytest.raises(SourceError, match="must be a number, a time or a text"):
            checked(value, "s")
    with pytest.raises(SourceError, match="must stand at a number, a time or a text"):
        from_json([1])
    with pytest.raises(ConfigError, match="lag of source s holds back times and numbers"):
        behind("text", 1, "s")
    assert behind(datetime(2026, 1, 2), 60, "s") == datetime(2026, 1, 1, 23, 59)


def test_unusable_types_are_named(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO orders VALUES (1, NULL, NULL, x'ff')")
    database.commit()
    found = source(tmp_path)
    (piece,) = found.pieces(None)
    assert read_canonical(found, piece, {}, ("note",)).unread == ("note",)
    assert found.read(piece).schema.field("note").type == pa.binary()
