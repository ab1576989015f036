"""The numbers that the fold keeps: how far it has come, what it counts, and of what kind its file is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice

from raypipe.monitoring import fold_statements as sql

_CHUNK_ROWS = 50


def read_numbers(session: sqlite3.Connection) -> dict[str, int]:
    """Return all numbers by name."""
    return dict(session.execute("SELECT name, value FROM numbers"))


def note(session: sqlite3.Connection, name: str, value: int) -> None:
    """Set a number."""
    session.execute("INSERT OR REPLACE INTO numbers (name, value) VALUES (?, ?)", (name, value))


def add(session: sqlite3.Connection, numbers: Mapping[str, int]) -> None:
    """Add to numbers; one that is not there is 0."""
    session.executemany(sql.ADD, list(numbers.items()))


def insert(session: sqlite3.Connection, into: str, rows: Iterable[tuple[object, ...]]) -> int:
    """Insert rows, of a value for each column that `into` names, and return how many were inserted.

    Many go by one statement: each statement takes longer than a row.
    """
    before, rest = session.total_changes, iter(rows)
    while chunk := tuple(islice(rest, _CHUNK_ROWS)):
        row = f"({', '.join('?' * len(chunk[0]))})"
        session.execute(f"{into} VALUES {', '.join([row] * len(chunk))}", tuple(chain.from_iterable(chunk)))
    return session.total_changes - before


def next_seq(session: sqlite3.Connection, n_rows: int) -> int:
    """Return the number of the first of `n_rows` new rows, of both tables together."""
    first = read_numbers(session).get("seq", 0)
    add(session, {"seq": n_rows})
    return first


def touch(session: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Put ids where the statements find them."""
    _clear(session)
    session.executemany(sql.TOUCH, ((id,) for id in ids))


def all_or_none(session: sqlite3.Connection, n_rows: int, work: Callable[[], int]) -> bool:
    """Return whether the work, which says of how many rows it was done, was done of all; else nothing is."""
    session.execute("SAVEPOINT work")
    is_done = work() == n_rows
    if not is_done:
        session.execute("ROLLBACK TO work")
    session.execute("RELEASE work")
    return is_done


def _clear(session: sqlite3.Connection) -> None:
    for statement in sql.CLEAR_CAME:
        session.execute(statement)


@contextmanager
def counted(session: sqlite3.Connection, came: str, rows: Iterator[tuple[object, ...]]) -> Iterator[None]:
    """Put rows where the statements find them, and count what they change of the ids that they name."""
    _clear(session)
    session.executemany(came, rows)
    session.execute(sql.TOUCHED)
    before = [*session.execute(sql.COUNT_KNOWN).fetchone(), *session.execute(sql.COUNT_LABELS).fetchone()]
    yield
    after = [*session.execute(sql.COUNT_KNOWN).fetchone(), *session.execute(sql.COUNT_LABELS).fetchone()]
    add(session, {name: now - was for name, was, now in zip(sql.COUNTED, before, after, strict=True)})
