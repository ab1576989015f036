"""Captured predictions and labels without those of people, and what was made from them forgotten."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import parquet

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.data.committer import DAMAGED, LEASE, commit_once
from raypipe.data.erasure.people import PREDICTION, Key, Mask, People
from raypipe.data.holding import added_action, write_entry
from raypipe.data.locks import locked
from raypipe.data.table import fsync_file, held_files, remove_torn, table_exists
from raypipe.data.wal import OPEN, SEALED

WAIT_S = 30.0
"""A replica hands over what it captured within about a second."""
_PAUSE_S = 0.1
_TRIES = 10
_SUFFIX = re.compile(r"-e-[0-9a-f]{12}-[0-9]+$")


def hand_over(
    folder: PipelineHome, pause: Callable[[float], None] = time.sleep, wait_s: float = WAIT_S
) -> None:
    """Move all that was captured until now to the tables; raises StorageError where a replica keeps some.

    Where replicas run, waits until they have handed over what they are writing.
    """
    there = _segments(folder.wal)
    for _ in range(round(wait_s / _PAUSE_S)):
        if not there:
            return
        commit_once(folder)
        there = [one for one in there if one.exists() or one.with_suffix(SEALED).exists()]
        if there:
            pause(_PAUSE_S)
    raise StorageError(
        f"{there[0]} has been written by a replica for {wait_s:g} seconds and was not handed over; end the "
        "endpoint with `raypipe down`, and erase again."
    )


@contextmanager
def committing(folder: PipelineHome) -> Iterator[None]:
    """Hold the committer's lease: nothing else is written to the tables of captured rows meanwhile."""
    with storage_errors(folder.wal):
        folder.wal.mkdir(parents=True, exist_ok=True)
        with locked(folder.wal / LEASE):
            yield


def their_predictions(folder: PipelineHome, people: People) -> People:
    """Return the ids of the captured predictions that are theirs, as people."""
    ids = [
        Key(PREDICTION, id)
        for rows in _files(folder.predictions)
        for id in rows.filter(pa.array(_their_answers(people, rows)))["id"].to_pylist()
    ]
    return People.of(ids, people.secret)


def n_captured(folder: PipelineHome, people: People) -> tuple[int, int]:
    """Return how many captured predictions, and how many labels, are theirs."""
    n_predictions = sum(int(_their_answers(people, rows).sum()) for rows in _files(folder.predictions))
    return n_predictions, sum(int(_their_labels(people, rows).sum()) for rows in _files(folder.labels))


def erase_captured(
    folder: PipelineHome, people: People, id: str, at: datetime, on_step: Callable[[str], None]
) -> None:
    """Take their predictions and labels out of the tables, and delete every file that held some.

    The committer's lease must be held. Segments with bytes that nobody can read are deleted too: whose those
    are cannot be told, and all of them that can be read is in the tables.
    """
    for path, theirs in ((folder.labels, _their_labels), (folder.predictions, _their_answers)):
        _rewrite(path, partial(theirs, people), id, at)
        on_step("captured rewritten")
        _delete_unnamed(path)
        on_step("captured deleted")
    for segment in damaged(folder):
        segment.unlink()
        on_step("damaged segment deleted")
    _forget_fold(folder.fold)
    on_step("fold forgotten")


def damaged(folder: PipelineHome) -> list[Path]:
    """Return the segments of the log that cannot be read."""
    return sorted(folder.wal.glob(f"*/*{DAMAGED}"))


def _segments(wal: Path) -> list[Path]:
    """Return the segments that are not in the tables, under the names that they have while written."""
    return [path.with_suffix(OPEN) for suffix in (OPEN, SEALED) for path in wal.glob(f"[!.]*/*{suffix}")]


def _their_answers(people: People, rows: pa.Table) -> Mask:
    found = people.in_texts(rows["inputs"])
    return found | people.among(PREDICTION, rows["id"]) if PREDICTION in people.digests else found


def _their_labels(people: People, rows: pa.Table) -> Mask:
    if PREDICTION not in people.digests:
        return np.zeros(rows.num_rows, dtype=np.bool_)
    return people.among(PREDICTION, rows["prediction_id"])


def _files(path: Path) -> Iterator[pa.Table]:
    if table_exists(path):
        for name in sorted(held_files(path)):
            yield parquet.read_table(path / name)


def _rewrite(path: Path, theirs: Callable[[pa.Table], Mask], id: str, at: datetime) -> None:
    """Replace the files of a table that hold such rows by files without, in one entry of its log."""
    if not table_exists(path):
        return
    with storage_errors(path):
        for _ in range(_TRIES):
            remove_torn(path)
            table = DeltaTable(str(path))
            at_ms = round(at.timestamp() * 1000)
            actions: list[dict[str, object]] = []
            for name in pa.table(table.get_add_actions())["path"].to_pylist():
                rows = parquet.read_table(path / name)
                mask = theirs(rows)
                if mask.any():
                    actions.append({"remove": {"path": name, "deletionTimestamp": at_ms, "dataChange": True}})
                    actions += _added(path, name, rows.filter(pa.array(~mask)), id)
            fsync_folder(path)
            note = {"timestamp": at_ms, "operation": "DELETE", "operationParameters": {}}
            if not actions or write_entry(path, table.version() + 1, [{"commitInfo": note}, *actions]):
                return
    raise StorageError(f"{path} is written by another process all the time; end it, and erase again.")


def _added(path: Path, name: str, rest: pa.Table, id: str) -> list[dict[str, object]]:
    """Write what is left of a file, under a name that keeps its place in the order."""
    if not rest.num_rows:
        return []
    stem = f"{_SUFFIX.sub('', name.removesuffix('.parquet'))}-{id}"
    made = next(one for n in count() if not (one := path / f"{stem}-{n}.parquet").exists())
    parquet.write_table(rest, made, compression="zstd", store_schema=False)
    fsync_file(made)
    return [{"add": added_action(made)}]


def _delete_unnamed(path: Path) -> None:
    """Delete the files of a table that its newest version does not hold."""
    if not table_exists(path):
        return
    held = held_files(path)
    with storage_errors(path):
        for file in path.glob("*.parquet"):
            if file.name not in held:
                file.unlink()
        fsync_folder(path)


def _forget_fold(path: Path) -> None:
    """Delete the file in which the controller folds captured rows, once nobody is writing to it."""
    if not path.exists():
        return
    with storage_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as session:
        with suppress(sqlite3.DatabaseError):  # One that is damaged is none to wait for.
            session.execute("BEGIN EXCLUSIVE")
        for file in (path, path.with_name(f"{path.name}-journal")):
            file.unlink(missing_ok=True)
        fsync_folder(path.parent)
