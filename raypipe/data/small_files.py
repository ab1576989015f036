"""Merging the small files that frequent commits leave, without a change of the rows or their order.

Only neighbours are merged, and only once the newer ones together are as large as the oldest: so that a row is
written anew as often as the size of its file doubles, not with each merge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import parquet

from raypipe.core.clock import Clock
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.core.ids import canonical_json, sha256_bytes
from raypipe.data.holding import added_action, write_entry
from raypipe.data.table import fsync_file, remove_torn

LARGE_BYTES = 128 * 1024 * 1024
"""A file as large as this is merged no more."""
_BATCH_ROWS = 64 * 1024


@dataclass(frozen=True)
class _File:
    name: str
    n_bytes: int


def merge_small(path: Path, clock: Clock, *, more_than: int, large_bytes: int = LARGE_BYTES) -> bool:
    """Merge files where a table has more than so many small ones; return whether it did.

    Files that no version within the table's retention holds are deleted. Not for a table whose every version
    is kept. Where another process commits at the same moment nothing is merged. Raises StorageError.
    """
    with storage_errors(path):
        remove_torn(path)
        table = DeltaTable(str(path))
        files = _files(table)
        if sum(one.n_bytes < large_bytes for one in files) <= more_than:
            return False
        at_ms = round(clock.now().timestamp() * 1000)
        actions: list[dict[str, object]] = []
        for group in _groups(files, large_bytes):
            merged = _merged(path, [one.name for one in group])
            actions += [_removed(one.name, at_ms) for one in group]
            actions.append({"add": {**added_action(path / merged), "dataChange": False}})
        fsync_folder(path)
        note = {"timestamp": at_ms, "operation": "OPTIMIZE", "operationParameters": {}}
        if not actions or not write_entry(path, table.version() + 1, [{"commitInfo": note}, *actions]):
            return False
        # Its own deletion writes entries that are not durable, and a gap among entries closes a table.
        for name in DeltaTable(str(path)).vacuum(dry_run=True, full=True):
            (path / name).unlink(missing_ok=True)
        return True


def _files(table: DeltaTable) -> list[_File]:
    """Return a table's files in the order of their rows, which is that of their names."""
    found = pa.table(table.get_add_actions())
    pairs = zip(found["path"].to_pylist(), found["size_bytes"].to_pylist(), strict=True)
    return sorted((_File(name, n_bytes) for name, n_bytes in pairs), key=lambda one: one.name)


def _groups(files: Sequence[_File], large_bytes: int) -> Iterator[list[_File]]:
    """Yield runs of neighbours to merge, each of at most about `large_bytes`."""
    for run in _runs(files, large_bytes):
        rest = sum(one.n_bytes for one in run)
        while run and run[0].n_bytes > (rest := rest - run[0].n_bytes):
            run = run[1:]
        group: list[_File] = []
        for one in run:
            if group and sum(other.n_bytes for other in group) + one.n_bytes > large_bytes:
                yield group
                group = []
            group.append(one)
        if len(group) > 1:
            yield group


def _runs(files: Sequence[_File], large_bytes: int) -> Iterator[list[_File]]:
    run: list[_File] = []
    for one in files:
        if one.n_bytes < large_bytes:
            run.append(one)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _merged(path: Path, names: Sequence[str]) -> str:
    """Write the rows of files as one, a part in memory at a time, and return its name once it is durable.

    The name puts it where the first of them was.
    """
    first = names[0].removesuffix(".parquet").partition("-m")[0]
    name = f"{first}-m{sha256_bytes(canonical_json(list(names)))[:16]}.parquet"
    schema = parquet.read_schema(path / names[0])
    with parquet.ParquetWriter(path / name, schema, compression="zstd", store_schema=False) as written:
        for one in names:
            with parquet.ParquetFile(path / one) as found:
                for batch in found.iter_batches(_BATCH_ROWS):
                    written.write_batch(batch)
    fsync_file(path / name)
    return name


def _removed(name: str, at_ms: int) -> dict[str, object]:
    return {"remove": {"path": name, "deletionTimestamp": at_ms, "dataChange": False}}
