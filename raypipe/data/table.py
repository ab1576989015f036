"""Delta tables on a local file system that survive a power cut once a write has returned.

deltalake does not fsync: a power cut can leave a log entry or a data file empty. So every write here ends
with an fsync of what it made, and opening a table first removes a newest log entry of zero bytes, which
only a write that never returned can have left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pyarrow import dataset

from raypipe.core.errors import DataError
from raypipe.core.files import fsync_folder, storage_errors

_KEEP = "interval 3650 days"
KEEP_EVERY_VERSION = {"delta.logRetentionDuration": _KEEP, "delta.deletedFileRetentionDuration": _KEEP}
_BATCH_ROWS = 64 * 1024


def table_exists(path: Path) -> bool:
    """Whether a Delta table has been written at `path`."""
    return (path / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(path))


def open_table(path: Path, schema: pa.Schema, configuration: dict[str, str] | None = None) -> DeltaTable:
    """Open a table for writing, creating it where absent; raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        remove_torn_entry(path)
        try:
            return DeltaTable(str(path))
        except TableNotFoundError:
            made = DeltaTable.create(str(path), schema, mode="ignore", configuration=configuration)
            make_durable(path, 0, 0)
            fsync_folder(path.parent)
            return made


def remove_torn_entry(path: Path) -> bool:
    """Remove a newest log entry of zero bytes, the trace of a power cut; return whether there was one."""
    entries = sorted((path / "_delta_log").glob("*.json"))
    if not entries or entries[-1].stat().st_size:
        return False
    entries[-1].unlink()
    return True


def overwrite(path: Path, rows: pa.Table) -> int:
    """Write rows as a new version of the table and return its number; raises StorageError.

    Older versions stay readable for ten years.
    """
    table = open_table(path, rows.schema, KEEP_EVERY_VERSION)
    before = table.version()
    with storage_errors(path):
        write_deltalake(table, rows.to_reader(_BATCH_ROWS), mode="overwrite", schema_mode="overwrite")
        make_durable(path, before + 1, table.version())
    return int(table.version())


def make_durable(path: Path, first: int, last: int) -> None:
    """Fsync the log entries `first` to `last`, the data files that they added, and their folders."""
    log = path / "_delta_log"
    for number in range(first, last + 1):
        entry = log / f"{number:020d}.json"
        for name in added_files(entry):
            _fsync(path / name)
        _fsync(entry)
    for checkpoint in log.glob("*.checkpoint.parquet"):
        if first <= int(checkpoint.name[:20]) <= last:
            _fsync(checkpoint)
    fsync_folder(path)
    fsync_folder(log)


def added_files(entry: Path) -> list[str]:
    """Return the data files, relative to the table, that a log entry adds."""
    actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
    return [unquote(action["add"]["path"]) for action in actions if "add" in action]


def read_version(path: Path, version: int | None, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a table version (None: the newest) in the order in which they were written.

    Raises DataError where the table or that version of it is gone.
    """
    try:
        found = DeltaTable(str(path), version=version).to_pyarrow_dataset()
    except Exception as error:
        if (path / "_delta_log").is_dir() and version is None:
            raise
        raise DataError(f"{path} has no table version {version}: it was removed or never written.") from error
    # The writer numbers its files; the log does not list them in that order.
    fragments = sorted(found.get_fragments(), key=lambda fragment: str(fragment.path))
    ordered = dataset.FileSystemDataset(fragments, found.schema, found.format, found.filesystem)
    return ordered.to_table(columns=None if columns is None else list(columns))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
