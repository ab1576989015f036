"""A Delta table that holds exactly the files it is told to, one table version after the other.

Every file is written once and may be in many versions: a version adds the files that are new to it and
removes those that it is without, in one log entry. deltalake commits no change of the schema together with
files that stay, so the entry is written here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema
from pyarrow import parquet

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, make_durable_folder, storage_errors
from raypipe.data.locks import locked
from raypipe.data.table import CHECKPOINT_EVERY, KEEP_EVERY_VERSION, checkpoint, fsync_file, open_table

_TRIES = 10


def hold(path: Path, schema: pa.Schema, files: Sequence[str], *, id: str, at: datetime) -> int:
    """Make a table hold these files and no others, and return its version once that is durable.

    Where it holds them already, nothing is written. `id` is noted in the log. Raises StorageError.
    """
    with storage_errors(path):
        make_durable_folder(path.parent)
        with locked(path.with_suffix(".lock")):
            for _ in range(_TRIES):
                table = open_table(path, schema, KEEP_EVERY_VERSION)
                actions = list(_actions(table, path, schema, files, at))
                if not actions:
                    return int(table.version())
                note = {
                    "timestamp": _ms(at),
                    "operation": "WRITE",
                    "operationParameters": {},
                    "dataVersion": id,
                }
                if write_entry(path, table.version() + 1, [{"commitInfo": note}, *actions]):
                    return int(table.version() + 1)
    raise StorageError(f"{path} is written by another process all the time; end it, and run again.")


def _actions(
    table: DeltaTable, path: Path, schema: pa.Schema, files: Sequence[str], at: datetime
) -> Iterator[Mapping[str, Any]]:
    now = set(pa.table(table.get_add_actions())["path"].to_pylist())
    wanted = Schema.from_arrow(schema).to_json()
    if json.loads(wanted) != json.loads(table.schema().to_json()):
        yield {"metaData": _metadata(table, wanted)}
    for name in sorted(now - set(files)):
        yield {"remove": {"path": name, "deletionTimestamp": _ms(at), "dataChange": True}}
    for name in files:
        if name not in now:
            yield {"add": added_action(path / name)}


def _metadata(table: DeltaTable, schema: str) -> Mapping[str, Any]:
    found = table.metadata()
    return {
        "id": str(found.id),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema,
        "partitionColumns": [],
        "configuration": found.configuration,
        "createdTime": found.created_time,
    }


def added_action(file: Path) -> Mapping[str, Any]:
    found = file.stat()
    return {
        "path": file.name,
        "partitionValues": {},
        "size": found.st_size,
        "modificationTime": found.st_mtime_ns // 1_000_000,
        "dataChange": True,
        "stats": json.dumps({"numRecords": parquet.read_metadata(file).num_rows}),
    }


def write_entry(path: Path, version: int, actions: Sequence[Mapping[str, Any]]) -> bool:
    """Write a log entry; return False where another writer has taken its number."""
    log = path / "_delta_log"
    entry = log / f"{version:020d}.json"
    temporary = log / f".{entry.name}.{os.getpid()}.tmp"
    try:
        temporary.write_text("".join(f"{json.dumps(action)}\n" for action in actions), encoding="utf-8")
        fsync_file(temporary)
        try:
            # Unlike a rename, a link refuses where the entry is there already.
            os.link(temporary, entry)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(log)
    if version % CHECKPOINT_EVERY == 0:
        checkpoint(path)
    return True


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
