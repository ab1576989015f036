"""Moving sealed log segments into the tables `predictions` and `labels`: each record once, whatever dies.

In order: a commit to each table that carries, for each stream, the number of the last segment in it (a Delta
app transaction); an fsync of data, log entry and folders; only then the segments are deleted. Whoever comes
after a crash reads that number with the handle that it commits with, leaves out what is there already, and
makes it durable before it deletes anything.

One committer at a time holds a lock. Should a lock be lost, each commit also carries the epoch of its round,
so that of two the one that does not know of the other's commit is refused. One that goes on from round to
round, as the actor does, has an epoch of its own besides, and is refused once a newer one is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from raypipe.core.clock import Clock, SystemClock
from raypipe.core.errors import DataError, StorageError
from raypipe.core.files import fsync_folder, make_durable_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import canonical_json, sha256_bytes
from raypipe.data.captured import (
    LabelRecord,
    PredictionRecord,
    decode,
    label_schema,
    label_table,
    prediction_schema,
    prediction_table,
)
from raypipe.data.frames import read_frames
from raypipe.data.locks import try_lock
from raypipe.data.small_files import merge_small
from raypipe.data.table import Write, commit, open_table, read_version, remove_torn, settle, table_exists
from raypipe.data.tenure import check_newest, take_over
from raypipe.data.wal import LOCK, OPEN, SEALED

LEASE = "committer.lock"
DAMAGED = ".damaged"
BATCH_BYTES = 64 * 1024 * 1024
COMPACT_FILES = 200
_CLOCK = SystemClock()
COMMITTER = "raypipe-committer"
"""The app transaction that carries the committer's epoch."""
RETENTION = {
    "delta.logRetentionDuration": "interval 2 hours",
    "delta.deletedFileRetentionDuration": "interval 2 hours",
}
"""A commit every 5 s makes 17,280 log entries a day; a reader needs none that is older than its own read."""


@dataclass(frozen=True)
class CommitReport:
    """What one round moved.

    `damaged` names the segments with bytes that could not be read; they are kept beside the log, and all of
    them that could be read is in the tables. `n_torn_bytes` were never whole records. `is_busy`: another
    committer holds the lease, and nothing was done.
    """

    n_predictions: int = 0
    n_labels: int = 0
    n_segments: int = 0
    n_torn_bytes: int = 0
    damaged: tuple[str, ...] = ()
    is_busy: bool = False

    def __add__(self, other: CommitReport) -> CommitReport:
        return CommitReport(
            self.n_predictions + other.n_predictions,
            self.n_labels + other.n_labels,
            self.n_segments + other.n_segments,
            self.n_torn_bytes + other.n_torn_bytes,
            self.damaged + other.damaged,
        )


@dataclass(frozen=True)
class _Pending:
    stream: str
    number: int
    path: Path
    n_bytes: int


@dataclass(frozen=True)
class _Read:
    """A segment's records by table."""

    pending: _Pending
    predictions: tuple[PredictionRecord, ...]
    labels: tuple[LabelRecord, ...]
    n_torn_bytes: int
    is_damaged: bool


@dataclass
class _Turn:
    """A round's epoch, and the one that it expects in each table: the last before it, then its own."""

    epoch: int
    expected: dict[Path, int]
    still_newest: Callable[[], None]
    """Raises StaleEpoch once a newer committer has taken over."""

    @classmethod
    def next(cls, paths: Sequence[Path], still_newest: Callable[[], None]) -> _Turn:
        """Return the turn after the last one that the tables know of."""
        found = {path: _epoch_in(DeltaTable(str(path))) if table_exists(path) else 0 for path in paths}
        return cls(1 + max(found.values()), found, still_newest)

    def check(self, path: Path, table: DeltaTable) -> None:
        """Raise StorageError where another committer has written to a table since this turn began."""
        self.still_newest()
        found, expected = _epoch_in(table), self.expected[path]
        if found != expected:
            raise StorageError(
                f"{path} was written by another committer, of epoch {found}, since this one of epoch "
                f"{self.epoch} began; it leaves the rest to that one."
            )


def commit_once(
    folder: PipelineHome,
    *,
    clock: Clock = _CLOCK,
    batch_bytes: int = BATCH_BYTES,
    compact_files: int = COMPACT_FILES,
    epoch: int | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> CommitReport:
    """Move all sealed segments, and those of writers that have died, to the tables; raises StorageError.

    `epoch` is that of the committer that goes on from round to round, None for a person's command: raises
    StaleEpoch where a newer one has taken over. Where a table has more than `compact_files` small files, they
    are merged. `on_step` hears of each step once it is done.
    """
    with storage_errors(folder.wal):
        make_durable_folder(folder.wal)
        lease = try_lock(folder.wal / LEASE)
        if lease is None:
            return CommitReport(is_busy=True)
        try:
            take_over(folder.wal, epoch)
            report = _commit_all(folder, batch_bytes, partial(check_newest, folder.wal, epoch), on_step)
            if report.n_segments:
                _merge_small(folder, clock, compact_files, on_step)
            return report
        finally:
            os.close(lease)


def read_predictions(
    folder: PipelineHome,
    columns: Sequence[str] | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pa.Table:
    """Return captured predictions that have been moved to their table: all, or those of a span of time.

    Those answered at `since` or later and before `until`; only files that may hold some are read.
    """
    return _read_all(folder.predictions, prediction_schema(), columns, since, until)


def read_labels(
    folder: PipelineHome, *, since: datetime | None = None, until: datetime | None = None
) -> pa.Table:
    """Return labels that have been moved to their table: all, or those that came in a span of time."""
    return _read_all(folder.labels, label_schema(), None, since, until)


def _commit_all(
    folder: PipelineHome,
    batch_bytes: int,
    still_newest: Callable[[], None],
    on_step: Callable[[str], None],
) -> CommitReport:
    report = CommitReport()
    dead = _seal_of_the_dead(folder.wal)
    on_step("sealed")
    for path in (folder.predictions, folder.labels):
        # Also where nothing is to move: a reader does not open a table with a torn newest entry.
        remove_torn(path)
    batches = list(_batches(_pending(folder.wal), batch_bytes))
    if batches:
        turn = _Turn.next((folder.predictions, folder.labels), still_newest)
        for batch in batches:
            report += _move(folder, turn, batch, on_step)
    for stream in dead:
        _remove_if_empty(stream)
    return report


def _merge_small(folder: PipelineHome, clock: Clock, more_than: int, on_step: Callable[[str], None]) -> None:
    for path in (folder.predictions, folder.labels):
        if table_exists(path) and merge_small(path, clock, more_than=more_than):
            on_step("compacted")


def _streams(wal: Path) -> list[Path]:
    return sorted(path for path in wal.iterdir() if path.is_dir() and not path.name.startswith("."))


def _seal_of_the_dead(wal: Path) -> list[Path]:
    """Seal the open segments of streams whose writer has died, and return those streams."""
    dead = []
    for stream in _streams(wal):
        lock = try_lock(stream / LOCK)
        if lock is not None:
            for path in stream.glob(f"*{OPEN}"):
                path.rename(path.with_suffix(SEALED))
            os.close(lock)
            dead.append(stream)
    return dead


def _pending(wal: Path) -> list[_Pending]:
    return [
        _Pending(stream.name, int(path.stem), path, path.stat().st_size)
        for stream in _streams(wal)
        for path in sorted(stream.glob(f"*{SEALED}"))
    ]


def _batches(pending: Sequence[_Pending], batch_bytes: int) -> Iterator[list[_Pending]]:
    batch: list[_Pending] = []
    for one in pending:
        if batch and sum(other.n_bytes for other in batch) + one.n_bytes > batch_bytes:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _move(
    folder: PipelineHome, turn: _Turn, batch: Sequence[_Pending], on_step: Callable[[str], None]
) -> CommitReport:
    read = [_read(pending) for pending in batch]
    n_predictions = _append(
        turn,
        folder.predictions,
        prediction_schema(),
        [(one.pending, prediction_table(one.predictions)) for one in read if one.predictions],
    )
    on_step("predictions committed")
    n_labels = _append(
        turn,
        folder.labels,
        label_schema(),
        [(one.pending, label_table(one.labels)) for one in read if one.labels],
    )
    on_step("labels committed")
    for one in read:
        _clear(one)
        on_step("segment cleared")
    for stream in {one.pending.path.parent for one in read}:
        fsync_folder(stream)
    return CommitReport(
        n_predictions,
        n_labels,
        len(read),
        sum(one.n_torn_bytes for one in read),
        tuple(str(one.pending.path.with_suffix(DAMAGED)) for one in read if one.is_damaged),
    )


def _read(pending: _Pending) -> _Read:
    segment = read_frames(pending.path.read_bytes())
    predictions: list[PredictionRecord] = []
    labels: list[LabelRecord] = []
    is_damaged = segment.n_damaged_bytes > 0
    for payload in segment.payloads:
        try:
            record = decode(payload)
        except DataError:
            is_damaged = True
            continue
        if isinstance(record, PredictionRecord):
            predictions.append(record)
        else:
            labels.append(record)
    return _Read(pending, tuple(predictions), tuple(labels), segment.n_torn_bytes, is_damaged)


def _append(turn: _Turn, path: Path, schema: pa.Schema, parts: Sequence[tuple[_Pending, pa.Table]]) -> int:
    """Commit the parts that the table does not hold yet, and return their number of rows."""
    if not parts:
        return 0
    table = open_table(path, schema, RETENTION)
    turn.check(path, table)
    held = {one.stream: table.transaction_version(one.stream) or 0 for one, _ in parts}
    new = [(one, rows) for one, rows in parts if one.number > held[one.stream]]
    if len(new) < len(parts):
        # Whoever committed the others may have died before that was durable.
        settle(path)
    if not new:
        return 0
    numbers: dict[str, int] = {}
    for one, _ in new:
        numbers[one.stream] = max(one.number, numbers.get(one.stream, 0))
    rows = pa.concat_tables(part for _, part in new)
    # Named by what is in it: a committer that believes itself alone writes the same bytes or another file.
    name = sha256_bytes(canonical_json([[one.stream, one.number] for one, _ in new]))[:16]
    commit(table, path, Write(rows, name, {**numbers, COMMITTER: turn.epoch}), mode="append")
    turn.expected[path] = turn.epoch
    return int(rows.num_rows)


def _epoch_in(table: DeltaTable) -> int:
    return table.transaction_version(COMMITTER) or 0


def _clear(one: _Read) -> None:
    if one.is_damaged:
        one.pending.path.rename(one.pending.path.with_suffix(DAMAGED))
    else:
        one.pending.path.unlink()


def _remove_if_empty(stream: Path) -> None:
    """Remove a dead stream's folder once nothing is left in it but the lock."""
    if [path.name for path in stream.iterdir()] == [LOCK]:
        (stream / LOCK).unlink()
        stream.rmdir()


def _read_all(
    path: Path,
    schema: pa.Schema,
    columns: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
) -> pa.Table:
    if not table_exists(path):
        return (
            schema if columns is None else pa.schema([schema.field(name) for name in columns])
        ).empty_table()
    return read_version(path, None, columns, between=("at", since, until))
