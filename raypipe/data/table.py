"""Delta tables on a local file system that survive a power cut once a write has returned.

deltalake's own writer neither fsyncs nor keeps the order of rows. So data files are written here, made
durable, and only then named in the log; then the log entry is made durable. Old entries are cleaned up only
once the checkpoint that stands for them is durable. Opening a table for writing removes what only writes that
never returned can have left: newest log entries and a newest checkpoint that are torn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import and_
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction
from pyarrow import dataset, fs, parquet

from raypipe.core.errors import DataError, StorageError
from raypipe.core.files import fsync_folder, make_durable_folder, storage_errors

_KEEP = "interval 3650 days"
KEEP_EVERY_VERSION = {"delta.logRetentionDuration": _KEEP, "delta.deletedFileRetentionDuration": _KEEP}
CHECKPOINT_EVERY = 100
"""Log entries between two checkpoints; a reader starts at the last one."""
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_FILE_ROWS = 1_000_000
_GROUP_ROWS = 128 * 1024


@dataclass(frozen=True)
class Write:
    """One commit: rows, a name for its files that no other rows have, and its app transactions."""

    rows: pa.Table
    name: str
    transactions: Mapping[str, int] = field(default_factory=dict)


def table_exists(path: Path) -> bool:
    """Whether a Delta table has been written at `path`."""
    return (path / "_delta_log").is_dir() and DeltaTable.is_deltatable(str(path))


def open_table(path: Path, schema: pa.Schema, configuration: dict[str, str] | None = None) -> DeltaTable:
    """Open a table for writing, creating it where absent; raises StorageError."""
    with storage_errors(path):
        make_durable_folder(path)
        remove_torn(path)
        try:
            return DeltaTable(str(path))
        except TableNotFoundError:
            made = DeltaTable.create(str(path), schema, mode="ignore", configuration=configuration)
            make_entry_durable(path, 0)
            fsync_folder(path)
            return made


def remove_torn(path: Path) -> bool:
    """Remove newest log entries, and a newest checkpoint, that a power cut has torn; return whether any was.

    A write of any of them has not returned, so nobody was told of it.
    """
    log, n_removed = path / "_delta_log", 0
    found = sorted(log.iterdir()) if log.is_dir() else []
    for entry in reversed([one for one in found if one.suffix == ".json"]):
        if _is_whole_entry(entry):
            break
        entry.unlink()
        n_removed += 1
    checkpoints = [one for one in found if ".checkpoint." in one.name and one.suffix == ".parquet"]
    if checkpoints and not _is_whole_parquet(checkpoints[-1]):
        checkpoints[-1].unlink()
        n_removed += 1
    pointer = log / "_last_checkpoint"
    if pointer.exists() and not _is_whole_pointer(pointer):
        pointer.unlink()
        n_removed += 1
    return n_removed > 0


def settle(path: Path) -> None:
    """Make all of the log durable: whoever wrote its newest entries may have died before they were."""
    for entry in (path / "_delta_log").iterdir():
        fsync_file(entry)
    fsync_folder(path / "_delta_log")


def commit(table: DeltaTable, path: Path, write: Write, *, mode: str) -> int:
    """Commit with this handle, and return the table version once all of it is durable.

    The handle must be the one that app transactions were looked up with: a commit by another process since
    then that carries one of the same transactions is refused (StorageError).
    """
    before = table.version()
    files = write_files(path, f"{before + 1:010d}-{write.name}", write.rows)
    try:
        table.create_write_transaction(
            [_add(path / name) for name in files],
            mode,
            write.rows.schema,
            commit_properties=CommitProperties(
                app_transactions=[Transaction(app, number) for app, number in write.transactions.items()]
            ),
            post_commithook_properties=_NO_HOOKS,
        )
    except CommitFailedError as error:
        raise StorageError(f"{path} was written by another process at the same time: {error}.") from error
    version = _entry_with(path, before + 1, files[0] if files else None)
    make_entry_durable(path, version)
    if version % CHECKPOINT_EVERY == 0:
        checkpoint(path)
    return version


def make_entry_durable(path: Path, version: int) -> None:
    """Fsync a log entry and the log's folder."""
    log = path / "_delta_log"
    fsync_file(log / f"{version:020d}.json")
    fsync_folder(log)


def checkpoint(path: Path) -> None:
    """Write a checkpoint of the newest version; once it is durable, clean up entries past their retention."""
    table, log = DeltaTable(str(path)), path / "_delta_log"
    table.create_checkpoint()
    for written in (*log.glob(f"{table.version():020d}.checkpoint*.parquet"), *log.glob("_last_checkpoint")):
        fsync_file(written)
    fsync_folder(log)
    table.cleanup_metadata()


def added_files(entry: Path) -> list[str]:
    """Return the data files, relative to the table, that a log entry adds."""
    actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
    return [action["add"]["path"] for action in actions if "add" in action]


def held_files(path: Path) -> frozenset[str]:
    """Return the data files that the newest version of a table names; none where there is no table."""
    if not table_exists(path):
        return frozenset()
    return frozenset(pa.table(DeltaTable(str(path)).get_add_actions())["path"].to_pylist())


def read_version(
    path: Path,
    version: int | None,
    columns: Sequence[str] | None = None,
    *,
    between: tuple[str, datetime | None, datetime | None] = ("", None, None),
) -> pa.Table:
    """Return the rows of a table version (None: the newest) in the order in which they were written.

    `between` names a column of times, and of which rows are wanted the first time and the one they end
    before; files whose statistics exclude it are not opened. Raises DataError where the table or that version
    of it is gone.
    """
    try:
        found = DeltaTable(str(path), version=version).to_pyarrow_dataset()
    except (TableNotFoundError, DeltaError) as error:
        wanted = "" if version is None else f" version {version}"
        raise DataError(f"{path} holds no table{wanted}: it was removed or never written.") from error
    # The log does not list files in the order of their rows; their names do.
    fragments = sorted(found.get_fragments(), key=lambda fragment: str(fragment.path))
    ordered = dataset.FileSystemDataset(fragments, found.schema, found.format, found.filesystem)
    return ordered.to_table(columns=None if columns is None else list(columns), filter=_within(*between))


def _within(name: str, since: datetime | None, until: datetime | None) -> dataset.Expression | None:
    column = dataset.field(name)
    parts = [column >= since] if since is not None else []
    parts += [column < until] if until is not None else []
    return reduce(and_, parts) if parts else None


def read_files(path: Path, names: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Return the rows of data files of a table, one file after the other, in the columns of `schema`.

    A column that a file lacks is null in its rows. Raises DataError where a file is gone or damaged.
    """
    if not names:
        return schema.empty_table()
    with reading(path):
        return _dataset(path, names, schema).to_table()


def scan_files(path: Path, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the same rows as `read_files` in batches, so that few are in memory at a time."""
    if names:
        with reading(path):
            yield from _dataset(path, names, schema).to_batches(batch_readahead=1, fragment_readahead=1)


def write_files(path: Path, stem: str, rows: pa.Table) -> tuple[str, ...]:
    """Write data files that survive a power cut, and return their names in the order of the rows.

    Their names start with `stem`; a file that exists is never written over. Raises StorageError.
    """
    with storage_errors(path):
        make_durable_folder(path)
        stem = _unused(path, stem)
        names = []
        for number, start in enumerate(range(0, rows.num_rows, _FILE_ROWS)):
            name = f"{stem}-{number:05d}.parquet"
            _write_file(path / name, rows.slice(start, _FILE_ROWS))
            names.append(name)
        if names:
            fsync_folder(path)
    return tuple(names)


def _dataset(path: Path, names: Sequence[str], schema: pa.Schema) -> dataset.Dataset:
    paths = [str(path / name) for name in names]
    return dataset.FileSystemDataset.from_paths(
        paths, schema=schema, format=dataset.ParquetFileFormat(), filesystem=fs.LocalFileSystem()
    )


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Raise a DataError for what cannot be read of data files."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"rows of {path} cannot be read, they were removed or damaged: {cause}.") from error


def fsync_file(path: Path) -> None:
    """Make what a file holds survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_whole_entry(entry: Path) -> bool:
    try:
        lines = entry.read_text(encoding="utf-8").splitlines()
        return bool(lines) and all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        return False


def _is_whole_parquet(file: Path) -> bool:
    with file.open("rb") as found:
        n_bytes = found.seek(0, os.SEEK_END)
        found.seek(max(0, n_bytes - 4))
        return found.read() == b"PAR1"


def _is_whole_pointer(file: Path) -> bool:
    """Whether a file says which checkpoint is the last, and that one is there."""
    try:
        version = int(json.loads(file.read_bytes())["version"])
    except (ValueError, TypeError, KeyError):
        return False
    return any(file.parent.glob(f"{version:020d}.checkpoint*.parquet"))


def _unused(path: Path, stem: str) -> str:
    """Return a stem that no file has: a write that was cut short may have left some."""
    number, found = 1, stem
    while (path / f"{found}-00000.parquet").exists():
        number += 1
        found = f"{stem}.{number}"
    return found


def _write_file(path: Path, rows: pa.Table) -> None:
    try:
        parquet.write_table(rows, path, row_group_size=_GROUP_ROWS, compression="zstd", store_schema=False)
        fsync_file(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _add(file: Path) -> AddAction:
    found = file.stat()
    statistics = json.dumps({"numRecords": parquet.read_metadata(file).num_rows})
    return AddAction(file.name, found.st_size, {}, found.st_mtime_ns // 1_000_000, True, statistics)


def _entry_with(path: Path, first: int, name: str | None) -> int:
    """Return the first log entry from `first` on that adds a file: a commit may land later than aimed at."""
    version = first
    while name is not None:
        if name in added_files(path / "_delta_log" / f"{version:020d}.json"):
            break
        version += 1
    return version
