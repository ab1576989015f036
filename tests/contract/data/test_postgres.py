"""A real PostgreSQL server as a source: started for these tests where the machine has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from raypipe.core.errors import SourceError
from raypipe.data.sources.config import SqlSettings
from raypipe.data.sources.rows import read_canonical
from raypipe.data.sources.sql import SqlSource

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
Run = Callable[[str], None]


@pytest.fixture
def server(postgres_server: str) -> str:
    return postgres_server


@pytest.fixture
def engine(server: str) -> Iterator[Engine]:
    made = create_engine(server)
    with made.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS shop CASCADE"))
        connection.execute(text("CREATE SCHEMA shop"))
        connection.execute(
            text(
                "CREATE TABLE shop.orders (id bigserial, at timestamptz DEFAULT now(), day date, price "
                "numeric(10,2), paid boolean, code uuid DEFAULT gen_random_uuid(), note text, tags int[])"
            )
        )
    yield made
    made.dispose()


@pytest.fixture
def run(engine: Engine) -> Run:
    def execute(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    return execute


def source(server: str, **more: Any) -> SqlSource:
    what = {} if "query" in more else {"table": "shop.orders"}
    declared = {"name": "s", "format": "sql", "url": server, **what, **more}
    return SqlSource(SqlSettings.model_validate(declared))


def test_types_of_the_server_become_canonical(server: str, run: Run) -> None:
    run(
        "INSERT INTO shop.orders (at, day, price, paid, note, tags) VALUES "
        "('2026-01-02 03:04:05.678+02', '2026-01-02', 12.50, true, 'é', '{1}'), "
        "(NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    found = source(server)
    (piece,) = found.pieces(None)
    rows = read_canonical(found, piece, {}, ("tags",))
    first, second = rows.table.drop_columns("code").to_pylist()
    assert first == {
        "id": 1,
        "at": datetime(2026, 1, 2, 1, 4, 5, 678_000, UTC),
        "day": datetime(2026, 1, 2, tzinfo=UTC),
        "price": 12.5,
        "paid": True,
        "note": "é",
    }
    assert second == {"id": 2, "at": None, "day": None, "price": None, "paid": None, "note": None}
    assert all(len(code) == 36 for code in rows.table["code"].to_pylist())
    assert rows.unread == ("tags",)


def test_a_cursor_of_times_goes_on_to_the_microsecond_with_its_ties(server: str, run: Run) -> None:
    for second in (1, 1, 1, 2, 3):
        run(f"INSERT INTO shop.orders (at) VALUES ('2026-01-01 00:00:0{second}.000001+00')")
    found = source(server, cursor="at", batch_rows=2)
    pieces = list(found.pieces(None))
    assert [found.read(piece)["id"].to_pylist() for piece in pieces] == [[1, 2, 3], [4, 5]]
    assert pieces[-1].position == {"time": "2026-01-01T00:00:03.000001+00:00"}
    run("INSERT INTO shop.orders (at) VALUES ('2026-01-01 00:00:03.000002+00')")
    (new,) = source(server, cursor="at").pieces(pieces[-1].position)
    assert found.read(new)["id"].to_pylist() == [6]


def test_a_row_that_is_committed_late_is_seen_within_the_lag(server: str, run: Run, engine: Engine) -> None:
    run("INSERT INTO shop.orders (note) VALUES ('early')")
    with engine.connect() as late:
        late.execute(text("INSERT INTO shop.orders (note) VALUES ('late')"))
        run("INSERT INTO shop.orders (note) SELECT 'after' FROM generate_series(1, 4)")
        both = [source(server, cursor="id"), source(server, cursor="id", lag=4)]
        reached = [[piece.position for piece in found.pieces(None)][-1] for found in both]
        late.commit()
    run("INSERT INTO shop.orders (note) SELECT 'end' FROM generate_series(1, 4)")
    eager, patient = (
        [note for piece in found.pieces(after) for note in found.read(piece)["note"].to_pylist()]
        for found, after in zip(both, reached, strict=True)
    )
    assert eager == ["end", "end", "end", "end"]
    assert patient == ["late", "after", "after", "after", "after"]


def test_a_query_with_colons_and_percents(server: str, run: Run) -> None:
    run("INSERT INTO shop.orders (note) VALUES ('50%'), ('x')")
    query = "SELECT id::int AS n, '%s :a' AS q FROM shop.orders WHERE note LIKE '%\\%'"
    found = source(server, query=query)
    (piece,) = found.pieces(None)
    assert found.read(piece).to_pylist() == [{"n": 1, "q": "%s :a"}]


def test_many_rows_come_in_chunks_whose_types_agree(server: str, run: Run) -> None:
    run(
        "INSERT INTO shop.orders (price) "
        "SELECT CASE WHEN n > 60000 THEN n / 2.0 END FROM generate_series(1, 70000) n"
    )
    found = source(server, query="SELECT id, price FROM shop.orders ORDER BY id")
    (piece,) = found.pieces(None)
    rows = found.read(piece)
    assert (rows.num_rows, rows["price"].null_count, rows["price"][-1].as_py()) == (70_000, 60_000, 35_000.0)


def test_nothing_can_be_written(server: str, run: Run) -> None:
    run("INSERT INTO shop.orders (note) VALUES ('x')")
    writes = source(server, query="WITH gone AS (DELETE FROM shop.orders RETURNING id) SELECT * FROM gone")
    with pytest.raises(SourceError):
        writes.read(next(writes.pieces(None)))
    assert source(server).extent(None).n_rows == 1


def test_a_wrong_password_is_one_sentence_without_it(server: str) -> None:
    wrong = source(server.replace("p%40ss%3Aword", "wr0ng-secret"))
    with pytest.raises(
        SourceError, match=r"source s cannot be read from postgresql.*raypipe:\*\*\*@"
    ) as caught:
        wrong.extent(None)
    assert "wr0ng" not in str(caught.value) and "\n" not in str(caught.value)
