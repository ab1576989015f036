"""The part of the fold that takes in labels, all of a commit at once.

Nearly all are the first label of an answer that is known: they are noted there. Of the others, those that
come first, again or corrected, the statements settle which label of an id counts.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from raypipe.monitoring import fold_statements as sql
from raypipe.monitoring.fold_numbers import add, all_or_none, counted, insert, next_seq, touch

Batch: TypeAlias = Mapping[str, list[Any]]
_Row: TypeAlias = tuple[str, int, int, str]


def take_label_rows(session: sqlite3.Connection, batch: Batch) -> None:
    """Take in rows of `labels`, a list a column; `at` in microseconds since 1970."""
    n_rows = len(batch["label"])
    first = next_seq(session, n_rows)
    columns = batch["prediction_id"], batch["at"], range(first, first + n_rows), batch["label"]
    rows: list[_Row] = list(zip(*columns, strict=True))
    if all_or_none(session, n_rows, lambda: _add_first(session, rows)):
        return
    touch(session, batch["prediction_id"])
    unlabelled = {id for (id,) in session.execute(sql.UNLABELLED)}
    n_times = Counter(batch["prediction_id"])
    is_plain = [n_times[id] == 1 and id in unlabelled for id, *_ in rows]
    _add_first(session, [row for row, plain in zip(rows, is_plain, strict=True) if plain])
    others = (row for row, plain in zip(rows, is_plain, strict=True) if not plain)
    with counted(session, sql.CAME_LABELS, others):
        for statement in sql.TAKE_LABELS:
            session.execute(statement)


def _add_first(session: sqlite3.Connection, rows: Sequence[_Row]) -> int:
    """Note labels at answers that have none, and return how many such answers there are."""
    before = session.total_changes
    session.executemany(sql.FIRST_LABEL, ((label, at, id) for id, at, _, label in rows))
    n = session.total_changes - before
    if n == len(rows):
        insert(session, sql.NEW_LABELS, rows)
        add(session, {"n_label_ids": n, "n_labelled": n})
    return n
