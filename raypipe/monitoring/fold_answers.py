"""The part of the fold that takes in answers, all of a commit at once.

Nearly all ids are new: their rows are added without a look at what is known. Rows of an id that has come
before, or comes twice, go one by one through the statements that settle which answer of an id counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, compress, pairwise
from typing import TYPE_CHECKING, TypeAlias

from raypipe.monitoring import fold_statements as sql
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold_lives import Watches, keep_lives, read_lives
from raypipe.monitoring.fold_numbers import add, all_or_none, counted, insert, next_seq, touch
from raypipe.monitoring.watch import Watch, rows_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Places = NDArray[np.int64]

Placed: TypeAlias = tuple[list[int | None], list[str | None]]
"""Where each first answer is counted: its cohort, and its bins of the sliced columns as JSON."""
_NAMED = ("version", "role")
"""The columns of which the codes are kept."""


def take_answer_rows(
    session: sqlite3.Connection, rows: pa.Table, watches: Watches, settings: MonitoringSettings
) -> None:
    """Take in rows with the columns of `predictions`, `at` in microseconds since 1970."""
    if not rows.num_rows:
        return
    first = next_seq(session, rows.num_rows)
    add(session, {"n_answers": rows.num_rows})
    versions, roles = (
        _coded(session, rows[name], table) for name, table in zip(_NAMED, sql.NAMED, strict=True)
    )
    came = _Came(rows, first, versions, roles)
    of_versions = came.by_version(watches)
    if _all_new(session, came, of_versions, settings):
        _take_newest(session, came, came.everyone, settings)
        _count_lives(session, of_versions, came.everyone, settings)
        return
    is_new, is_first = _sorted_out(session, came)
    placed = _placed(session, came, of_versions, is_first, settings)
    with counted(session, sql.CAME_ANSWERS, compress(came.tuples(), ~is_new)):
        for statement in sql.TAKE_ANSWERS:
            session.execute(statement)
        session.executemany(sql.IN_COHORT, compress(zip(*placed, came.ids, strict=True), is_first & ~is_new))
    _add_known(session, came, placed, is_new)
    _take_newest(session, came, is_new, settings)
    _count_lives(session, of_versions, is_first, settings)


@dataclass(frozen=True)
class _Coded:
    """Names by their codes, and the code of each row."""

    names: Mapping[int, str]
    codes: Places


def _coded(session: sqlite3.Connection, names: pa.ChunkedArray, table: str) -> _Coded:
    import numpy as np

    found = names.combine_chunks().dictionary_encode()
    texts = found.dictionary.to_pylist()
    session.executemany(sql.NEW_NAME.format(table), [(text,) for text in texts])
    code = dict(session.execute(sql.NAMES.format(table)))
    codes = np.array([code[text] for text in texts], np.int64)[found.indices.to_numpy()]
    return _Coded({code[text]: text for text in texts}, codes)


@dataclass(frozen=True)
class _Came:
    """Rows that came, numbered from `first` on."""

    rows: pa.Table
    first: int
    versions: _Coded
    roles: _Coded

    @cached_property
    def ids(self) -> list[str]:
        ids: list[str] = self.rows["id"].to_pylist()
        return ids

    @cached_property
    def everyone(self) -> Mask:
        import numpy as np

        return np.ones(self.rows.num_rows, np.bool_)

    def by_version(self, watches: Watches) -> list[_OfVersion]:
        """Return the rows of each version that something is known of, decoded."""
        import numpy as np

        found = []
        for code, version in self.versions.names.items():
            watch = watches(version)
            if watch is not None:
                at = np.flatnonzero(self.versions.codes == code)
                rows = self.rows if len(at) == self.rows.num_rows else self.rows.take(at)
                found.append(_OfVersion(version, code, watch, at, rows_of(watch, rows)))
        return found

    def tuples(self) -> Iterator[tuple[object, ...]]:
        """Return the rows as `CAME_ANSWERS` takes them."""
        return zip(*self._columns(with_inputs=True), strict=True)

    def known(self, placed: Placed) -> Iterator[tuple[object, ...]]:
        """Return the rows as `NEW_KNOWN` takes them."""
        return zip(*self._columns(with_inputs=False), *placed, strict=True)

    def _columns(self, with_inputs: bool) -> Iterator[Sequence[object]]:
        yield self.ids
        yield self.rows["at"].to_pylist()
        yield range(self.first, self.first + self.rows.num_rows)
        yield self.versions.codes.tolist()
        yield self.roles.codes.tolist()
        for name in ("inputs", "prediction") if with_inputs else ("prediction",):
            yield self.rows[name].to_pylist()
        yield _blobs(self.rows["probabilities"])


@dataclass(frozen=True)
class _OfVersion:
    """A version's rows among those that came: which ones they are, and with the columns of its watch."""

    version: str
    code: int
    watch: Watch
    at: Places
    rows: pa.Table

    @cached_property
    def places(self) -> list[str]:
        """The bins of the sliced columns, as JSON; empty where there is no such column."""
        from raypipe.monitoring.drift import places

        sliced = [places(one, self.rows).tolist() for one in self.watch.sliced.columns]
        return [f"[{', '.join(map(str, bins))}]" for bins in zip(*sliced, strict=True)]


def _all_new(
    session: sqlite3.Connection, came: _Came, of_versions: Sequence[_OfVersion], settings: MonitoringSettings
) -> bool:
    """Add all rows if none of their ids is known and none comes twice; else change nothing."""
    placed = _placed(session, came, of_versions, came.everyone, settings)
    return all_or_none(session, came.rows.num_rows, lambda: _add_known(session, came, placed, came.everyone))


def _sorted_out(session: sqlite3.Connection, came: _Came) -> tuple[Mask, Mask]:
    """Return which rows have an id that nothing else has, and which are the first answer to theirs."""
    import numpy as np

    touch(session, came.ids)
    was_answered = dict(session.execute(sql.KNOWN_IDS))
    n_times: dict[str, int] = {}
    is_first = np.zeros(len(came.ids), np.bool_)
    for nth, id in enumerate(came.ids):
        is_first[nth] = id not in n_times and not was_answered.get(id, False)
        n_times[id] = n_times.get(id, 0) + 1
    is_new = np.array([n_times[id] == 1 and id not in was_answered for id in came.ids])
    return is_new, is_first


def _placed(
    session: sqlite3.Connection,
    came: _Came,
    of_versions: Sequence[_OfVersion],
    is_first: Mask,
    settings: MonitoringSettings,
) -> Placed:
    """Return where each row is counted: a first answer of a version that something is known of."""
    import numpy as np

    cohorts, places = (np.full(came.rows.num_rows, None, np.object_) for _ in range(2))
    for one in of_versions:
        firsts = is_first[one.at]
        nth = read_lives(session, one.version).n_answers + np.arange(firsts.sum())
        cohorts[one.at[firsts]] = (one.code << sql.COHORT_BITS) + nth // settings.harm.cohort_rows
        if one.places:
            places[one.at[firsts]] = np.array(one.places, np.object_)[firsts]
    return cohorts.tolist(), places.tolist()


def _add_known(session: sqlite3.Connection, came: _Came, placed: Placed, chosen: Mask) -> int:
    """Add rows whose ids are new, and return how many were."""
    n = insert(session, sql.NEW_KNOWN, compress(came.known(placed), chosen))
    add(session, {"n_predictions": n})
    return n


def _take_newest(
    session: sqlite3.Connection, came: _Came, chosen: Mask, settings: MonitoringSettings
) -> None:
    """Keep the inputs of rows that may be of the newest."""
    import numpy as np

    at = np.flatnonzero(chosen)
    if len(at) > settings.window_rows:
        times = came.rows["at"].to_numpy()[at]
        at = at[np.sort(np.argsort(times, kind="stable")[-settings.window_rows :])]
    rows = came.rows.select(["id", "at", "inputs"]).take(at)
    ids, times, inputs = (rows[name].to_pylist() for name in rows.column_names)
    insert(session, sql.NEW_NEWEST, zip(ids, times, (came.first + at).tolist(), inputs, strict=True))


def _count_lives(
    session: sqlite3.Connection,
    of_versions: Sequence[_OfVersion],
    is_first: Mask,
    settings: MonitoringSettings,
) -> None:
    """Count the first answers of each version."""
    import pyarrow as pa

    for one in of_versions:
        firsts = is_first[one.at]
        rows = one.rows if firsts.all() else one.rows.filter(pa.array(firsts))
        lives = read_lives(session, one.version)
        counts = lives.counts.after(one.watch.columns, rows, settings.drift.step_rows)
        n_answers = lives.n_answers + rows.num_rows
        if rows.num_rows:
            keep_lives(session, one.version, replace(lives, n_answers=n_answers, counts=counts))


def _blobs(lists: pa.ChunkedArray) -> list[bytes | None]:
    """Return lists of float64 as bytes, one after the other; None for null."""
    import numpy as np
    import pyarrow.compute as pc

    data = memoryview(pc.list_flatten(lists).to_numpy().tobytes())
    ends = np.cumsum(pc.list_value_length(lists).fill_null(0).to_numpy() * 8).tolist()
    blobs = [bytes(data[start:end]) for start, end in pairwise(chain((0,), ends))]
    if not lists.null_count:
        return list(blobs)
    return [blob if known else None for blob, known in zip(blobs, lists.is_valid().to_pylist(), strict=True)]
