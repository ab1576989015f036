"""All that was captured, folded into a file: a look costs what is new, and what its window holds.

The file (SQLite) holds what the tables `predictions` and `labels` come to up to a position in each, moved on
with what was read in one transaction. It can be lost at any time: it is then folded anew.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from raypipe.monitoring.fold_lives import (
    Lives,
    Watches,
    delays_of,
    no_watches,
    read_lives,
    ripe_at_s,
    take_first_answers,
    take_labels,
)
from raypipe.monitoring.quality import N_VERSIONS
from raypipe.monitoring.report import LabelCounts
from raypipe.stats.delays import DelayCurve

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.tail import Tail

Position: TypeAlias = tuple[int, int]
"""The versions of the two tables up to which they were read; equal ones give equal rows."""
NOWHERE: Position = (-1, -1)
Batch: TypeAlias = Mapping[str, list[Any]]
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
        take = {"predictions": self._take_answers, "labels": take_label_rows}[stream]
        for name in tail.files:
            for batch in _batches(path / name):
                take(session, batch)
                prune(session, self._settings)
        _note(session, stream, tail.position)

    def _take_answers(self, session: sqlite3.Connection, batch: Batch) -> None:
        take_answer_rows(session, batch, self._watches, self._settings)


def begin(session: sqlite3.Connection, settings: MonitoringSettings) -> None:
    """Make the tables anew, with nothing in them."""
    for statement in sql.FRESH:
        session.execute(statement)
    _add(session, {"format": sql.FORMAT, "window_rows": settings.window_rows})
    _add(session, {"counted_by": _signature(settings)})


def prune(session: sqlite3.Connection, settings: MonitoringSettings) -> None:
    """Forget the inputs of rows that are none of the newest."""
    session.execute(sql.PRUNE, {"last": settings.window_rows - 1})


def take_answer_rows(
    session: sqlite3.Connection, batch: Batch, watches: Watches, settings: MonitoringSettings
) -> None:
    """Take in rows of `predictions`, a list a column; `at` in microseconds since 1970."""
    n_rows = len(batch["id"])
    first = _next_seq(session, n_rows)
    rows = zip(
        batch["id"],
        batch["at"],
        range(first, first + n_rows),
        batch["version"],
        batch["role"],
        batch["inputs"],
        batch["prediction"],
        (None if given is None else array("d", given).tobytes() for given in batch["probabilities"]),
        strict=True,
    )
    with _counted(session, sql.CAME_ANSWERS, rows):
        _add(session, {"n_answers": n_rows})
        placed = take_first_answers(session, watches, settings)
        for statement in sql.TAKE_ANSWERS:
            session.execute(statement)
        session.executemany(sql.IN_COHORT, placed)


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
    numbers = _numbers(session)
    counts_so = numbers.get("format") == sql.FORMAT and numbers.get("counted_by") == _signature(settings)
    return counts_so and numbers.get("window_rows", 0) >= settings.window_rows


def _signature(settings: MonitoringSettings) -> int:
    """Return a number that is another one where lives are counted otherwise."""
    counted_by = [settings.drift.step_rows, settings.harm.model_dump(mode="json")]
    return zlib.crc32(json.dumps(counted_by, sort_keys=True).encode())


def _position(session: sqlite3.Connection) -> Position:
    numbers = _numbers(session)
    return numbers.get("predictions", NOWHERE[0]), numbers.get("labels", NOWHERE[1])


def _numbers(session: sqlite3.Connection) -> dict[str, int]:
    return dict(session.execute("SELECT name, value FROM numbers"))


def _note(session: sqlite3.Connection, name: str, value: int) -> None:
    session.execute("INSERT OR REPLACE INTO numbers (name, value) VALUES (?, ?)", (name, value))


def _add(session: sqlite3.Connection, numbers: Mapping[str, int]) -> None:
    session.executemany(sql.ADD, list(numbers.items()))


def _batches(file: Path) -> Iterator[dict[str, list[Any]]]:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file) as found:
        for batch in found.iter_batches(_BATCH_ROWS):
            table = pa.table(batch)
            at = table["at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
            yield {**table.drop_columns(["at"]).to_pydict(), "at": at.to_pylist()}


def take_label_rows(session: sqlite3.Connection, batch: Batch) -> None:
    """Take in rows of `labels`, a list a column; `at` in microseconds since 1970."""
    first = _next_seq(session, len(batch["label"]))
    order = range(first, first + len(batch["label"]))
    rows = zip(batch["prediction_id"], batch["at"], order, batch["label"], strict=True)
    with _counted(session, sql.CAME_LABELS, rows):
        for statement in sql.TAKE_LABELS:
            session.execute(statement)


def _next_seq(session: sqlite3.Connection, n_rows: int) -> int:
    """Return the number of the first of `n_rows` new rows, of both tables together."""
    first = _numbers(session).get("seq", 0)
    _add(session, {"seq": n_rows})
    return first


@contextmanager
def _counted(session: sqlite3.Connection, came: str, rows: Iterator[tuple[object, ...]]) -> Iterator[None]:
    """Put rows where the statements find them, and count what they change of the ids that they name."""
    for statement in sql.CLEAR_CAME:
        session.execute(statement)
    session.executemany(came, rows)
    session.execute(sql.TOUCHED)
    before = [*session.execute(sql.COUNT_KNOWN).fetchone(), *session.execute(sql.COUNT_LABELS).fetchone()]
    yield
    after = [*session.execute(sql.COUNT_KNOWN).fetchone(), *session.execute(sql.COUNT_LABELS).fetchone()]
    _add(session, {name: now - was for name, was, now in zip(sql.COUNTED, before, after, strict=True)})


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

    numbers = _numbers(session)
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
