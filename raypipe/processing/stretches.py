"""Parquet files in stretches of rows: what one thread or one task reads, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet, types

STRETCH_ROWS = 524_288
"""About so many rows make a stretch; one row group is never shared between two."""
BATCH_ROWS = 131_072
"""Rows that are in memory at a time."""


@dataclass(frozen=True)
class Stretch:
    """Row groups of one file that follow each other."""

    path: str
    groups: tuple[int, ...]
    start: int
    """The place of its first row among all rows of all files."""
    n_rows: int

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows with the place of the first among all; columns that the file lacks are left out.

        Text comes as dictionaries: Parquet mostly stores it so, and few texts stand for many rows.
        """
        schema = parquet.read_schema(self.path)
        names = [name for name in columns if name in schema.names]
        texts = [name for name in names if types.is_string(schema.field(name).type)]
        start = self.start
        with parquet.ParquetFile(self.path, read_dictionary=texts) as file:
            for batch in file.iter_batches(BATCH_ROWS, self.groups, names, use_threads=False):
                yield start, pa.Table.from_batches([batch])
                start += batch.num_rows


def stretches_of(paths: Iterable[str | Path], n_rows: int = STRETCH_ROWS) -> tuple[Stretch, ...]:
    """Return files in stretches of about `n_rows` rows, in the order of the files and their rows."""
    found: list[Stretch] = []
    start = 0
    for path in paths:
        metadata = parquet.read_metadata(path)
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        for groups in _together(sizes, n_rows):
            n_in = sum(sizes[i] for i in groups)
            found.append(Stretch(str(path), groups, start, n_in))
            start += n_in
    return tuple(found)


def _together(sizes: Sequence[int], n_rows: int) -> Iterator[tuple[int, ...]]:
    """Yield neighbouring row groups, as many as stay within `n_rows`, and at least one."""
    groups: list[int] = []
    for i, size in enumerate(sizes):
        if groups and sum(sizes[j] for j in groups) + size > n_rows:
            yield tuple(groups)
            groups = []
        groups.append(i)
    if groups:
        yield tuple(groups)
