"""All that was captured, folded into a file: a look costs what is new, and what its window holds.

The file (SQLite) holds what the tables `predictions` and `labels` come to up to a position in each, moved on
with what was read in one transaction. It can be lost at any time: it is then folded anew.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from raypipe.core.errors import StorageError
from raypipe.core.files import storage_errors
from raypipe.core.home import PipelineHome
from raypipe.monitoring import fold_statements as sql
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold_answers import take_answer_rows
from raypipe.monitoring.fold_labels import take_label_rows
from raypipe.monitoring.fold_lives import (
    Lives,
    Watches,
    delays_of,
    no_watches,
    read_lives,
    ripe_at_s,
    take_labels,
)
from raypipe.monitoring.fold_numbers import add, note, read_numbers
from raypipe.monitoring.quality import N_VERSIONS
from raypipe.monitoring.report import LabelCounts
from raypipe.stats.delays import DelayCurve

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.tail import Tail

Position: TypeAlias = tuple[int, int]
"""The versions of the two tables up to which they were read; equal ones give equal rows."""
NOWHERE: Position = (-1, -1)
_BATCH_ROWS = 20_000
_T = TypeVar("_T")


class _Damaged(StorageError):
    """The file is no longer one; what it held is in the tables."""


@dataclass(frozen=True)
class Captured:
    """What a look needs of all that was captured; the tables have the columns of `predictions` and `labels`.

    The rows are the newest answers, one for each id, and the newest labelled ones of the versions that
    answered last; the inputs of those are `{}` where they are none of the newest. `counts` are of all rows.
    """

    predictions: pa.Table
    labels: pa.Table
    counts: LabelCounts
    lives: Lives
    """Of all rows that the version ever answered, once each."""
    delays: DelayCurve
    """How long the labels of the version's newest answers take."""
    ripe_at: datetime | None = None
    """When the next cohort of answers will be old enough to be taken; None where none is full."""


class Fold:
    """The captured rows of a pipeline, as far as its tables were read.

    `watches` are what the rows of each version are counted by.
    """

    def __init__(
        self, folder: PipelineHome, settings: MonitoringSettings, watches: Watches = no_watches
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._watches = watches
        self._position: Position | None = None

    def follow(self) -> Position:
        """Take in what the tables have got, and return how far they were read; raises StorageError."""
        if self._position is None or any(self._tails(self._position)):
            self._position = self._brought_up(_position)
        return self._position

    def read(self, version: str, now: datetime) -> Captured:
        """Return what a look needs, with the labelled rows of `version` whenever it answered.

        Of its answers, those that have waited long enough by `now` are taken with their labels.
        """
        now_s = now.timestamp()
        return self._brought_up(
            lambda session: captured(session, version, self._watches, self._settings, now_s)
        )

    def _brought_up(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Work on the file once it holds all that the tables do."""
        try:
            return self._once(work)
        except (_Damaged, FileNotFoundError):
            # FileNotFoundError: a file that was read late has been merged into another, and deleted.
            self._folder.fold.unlink(missing_ok=True)
            return self._once(work)

    def _once(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._transaction() as session:
            self._move_on(session)
            return work(session)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        path = self._folder.fold
        try:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(path, isolation_level=None)) as session:
                    session.execute("PRAGMA temp_store = MEMORY")
                    session.execute("PRAGMA cache_size = -65536")
                    session.execute("BEGIN IMMEDIATE")
                    yield session
                    session.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise _Damaged(f"{path} is damaged: {error}.") from error
            raise StorageError(f"{path} cannot be written: {error}.") from error

    def _move_on(self, session: sqlite3.Connection) -> None:
        tails: Sequence[Tail | None] = ()
        if _holds(session, self._settings):
            tails = self._tails(_position(session))
        if not tails or any(tail is not None and tail.is_whole for tail in tails):
            begin(session, self._settings)
            tails = self._tails(NOWHERE)
        for stream, path, tail in zip(sql.STREAMS, self._paths, tails, strict=True):
            if tail is not None:
                self._take(session, stream, path, tail)

    def _tails(self, position: Position) -> list[Tail | None]:
        from raypipe.data.tail import read_tail

        return [read_tail(path, after) for path, after in zip(self._paths, position, strict=True)]

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self._folder.predictions, self._folder.labels

    def _take(self, session: sqlite3.Connection, stream: str, path: Path, tail: Tail) -> None:
        from raypipe.data.captured import label_schema, prediction_schema

        take, schema = {
            "predictions": (self._take_answers, prediction_schema()),
            "labels": (_take_labels, label_schema()),
        }[stream]
        for name in tail.files:
            for batch in _batches(path / name, schema):
                take(session, batch)
                prune(session, self._settings)
        note(session, stream, tail.position)

    def _take_answers(self, session: sqlite3.Connection, rows: pa.Table) -> None:
        take_answer_rows(session, rows, self._watches, self._settings)


def begin(session: sqlite3.Connection, settings: MonitoringSettings) -> None:
    """Make the tables anew, with nothing in them."""
    for statement in sql.FRESH:
        session.execute(statement)
    add(session, {"format": sql.FORMAT, "window_rows": settings.window_rows})
    add(session, {"counted_by": _signature(settings)})


def prune(session: sqlite3.Connection, settings: MonitoringSettings) -> None:
    """Forget the inputs of rows that are none of the newest."""
    session.execute(sql.PRUNE, {"last": settings.window_rows - 1})


def captured(
    session: sqlite3.Connection, version: str, watches: Watches, settings: MonitoringSettings, now_s: float
) -> Captured:
    """Return what a look needs, once the answers that have waited long enough were taken; see `Fold.read`."""
    watch = watches(version)
    if watch is not None:
        take_labels(session, version, watch, settings, now_s)
    lives = read_lives(session, version)
    n_full = lives.n_answers // settings.harm.cohort_rows
    delays = delays_of(session, version, n_full, now_s)
    ripe_at = ripe_at_s(session, version, lives, settings, delays)
    mature_s = lives.labels.mature_after_s
    before = now_s if mature_s is None else now_s - mature_s
    found = _captured(session, version, settings, lives, delays.curve, before)
    return replace(found, ripe_at=None if ripe_at is None else datetime.fromtimestamp(ripe_at, UTC))


def _holds(session: sqlite3.Connection, settings: MonitoringSettings) -> bool:
    """Whether the file is of this format, holds as long a window, and has counted in the same steps."""
    if not session.execute("SELECT 1 FROM sqlite_master WHERE name = 'numbers'").fetchall():
        return False
    numbers = read_numbers(session)
    counts_so = numbers.get("format") == sql.FORMAT and numbers.get("counted_by") == _signature(settings)
    return counts_so and numbers.get("window_rows", 0) >= settings.window_rows


def _signature(settings: MonitoringSettings) -> int:
    """Return a number that is another one where lives are counted otherwise."""
    counted_by = [settings.drift.step_rows, settings.harm.model_dump(mode="json")]
    return zlib.crc32(json.dumps(counted_by, sort_keys=True).encode())


def _position(session: sqlite3.Connection) -> Position:
    numbers = read_numbers(session)
    return numbers.get("predictions", NOWHERE[0]), numbers.get("labels", NOWHERE[1])


def _batches(file: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of a file in the columns of a schema, but `at` in microseconds since 1970."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file) as found:
        for batch in found.iter_batches(_BATCH_ROWS, use_threads=False):
            # Whoever else has rewritten the file may have left its texts as another type.
            table = pa.table(batch).select(schema.names).cast(schema)
            yield table.set_column(schema.names.index("at"), "at", table["at"].cast(pa.int64()))


def _take_labels(session: sqlite3.Connection, rows: pa.Table) -> None:
    take_label_rows(session, rows.to_pydict())


def _captured(
    session: sqlite3.Connection,
    version: str,
    settings: MonitoringSettings,
    lives: Lives,
    delays: DelayCurve,
    before_s: float,
) -> Captured:
    found = {row[0]: row for row in _labelled(session, version, settings.window_labels, before_s)}
    found.update({row[0]: row for row in session.execute(sql.NEWEST, {"limit": settings.window_rows})})
    rows = sorted(found.values(), key=lambda row: (row[1], row[2]))
    predictions, labels = _tables(rows)
    return Captured(
        predictions,
        labels,
        _counts(session, settings.window_labels),
        lives,
        delays,
    )


def _labelled(
    session: sqlite3.Connection, version: str, window: int, before_s: float
) -> Iterator[tuple[Any, ...]]:
    """Yield the newest labelled rows of the versions that answered last, from a time on back."""
    last = session.execute(sql.LAST_LABELLED, {"limit": N_VERSIONS}).fetchall()
    before = round(before_s * 1e6)
    for name in {version, *(row[0] for row in last)}:
        yield from session.execute(sql.LABELLED, {"version": name, "limit": window, "before": before})


def _tables(rows: list[tuple[Any, ...]]) -> tuple[pa.Table, pa.Table]:
    import pyarrow as pa

    from raypipe.data.captured import label_schema, prediction_schema

    ids, at, _, versions, roles, inputs, answers, given, labels, labelled_at = (
        zip(*rows, strict=True) if rows else ((),) * 10
    )
    probabilities = [None if one is None else array("d", one).tolist() for one in given]
    schema, truths = prediction_schema(), label_schema()
    predictions = (ids, _times(at), versions, roles, inputs, answers, probabilities)
    known = [place for place, label in enumerate(labels) if label is not None]
    came = (
        [ids[i] for i in known],
        [labels[i] for i in known],
        _times([labelled_at[i] for i in known]),
    )
    return (
        pa.table([pa.array(c, f.type) for c, f in zip(predictions, schema, strict=True)], schema=schema),
        pa.table([pa.array(c, f.type) for c, f in zip(came, truths, strict=True)], schema=truths),
    )


def _times(numbers: Any) -> pa.Array:
    import pyarrow as pa

    return pa.array(numbers, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _counts(session: sqlite3.Connection, window: int) -> LabelCounts:
    from raypipe.monitoring.labels import delays

    numbers = read_numbers(session)
    waited = [row[0] for row in session.execute(sql.DELAYS, {"limit": window})]
    n_predictions, n_labelled = numbers.get("n_predictions", 0), numbers.get("n_labelled", 0)
    return LabelCounts(
        n_predictions=n_predictions,
        n_redelivered=numbers.get("n_answers", 0) - n_predictions,
        n_labelled=n_labelled,
        n_unknown=numbers.get("n_label_ids", 0) - n_labelled,
        n_repeated=numbers.get("n_again", 0) - numbers.get("n_corrected", 0),
        n_corrected=numbers.get("n_corrected", 0),
        **delays(waited),
    )
