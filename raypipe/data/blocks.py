"""The rows of a data version as blocks of its files, and parts of them that stay on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyarrow import dataset, fs

from raypipe.core.home import PipelineHome
from raypipe.data.fragments import schema_of
from raypipe.data.schema import Column
from raypipe.data.split import Places
from raypipe.data.table import reading
from raypipe.data.versions import DataVersion

_FORMAT = dataset.ParquetFileFormat()


@dataclass(frozen=True)
class Block:
    """A row group of a data file."""

    path: str
    group: int
    fragment: int
    """The number of its fragment in the version."""
    start: int
    """The place of its first row in the version."""
    n_rows: int

    @property
    def rows(self) -> slice:
        """The places of its rows in the version."""
        return slice(self.start, self.start + self.n_rows)

    def read(self, columns: Sequence[Column], names: Sequence[str]) -> pa.Table:
        """Return its rows in columns of a version, null where the file lacks one; raises DataError."""
        file = _FORMAT.make_fragment(self.path, fs.LocalFileSystem(), row_groups=[self.group])
        with reading(self.path):
            return file.to_table(schema=schema_of(columns, names), use_threads=False)


def blocks_of(folder: PipelineHome, version: DataVersion) -> tuple[Block, ...]:
    """Return all rows of a version in blocks, in order; raises DataError where a file is gone."""
    found: list[Block] = []
    start = 0
    for number, fragment in enumerate(version.fragments):
        for name in fragment.files:
            path = str(folder.rows / name)
            with reading(path):
                groups = _FORMAT.make_fragment(path, fs.LocalFileSystem()).row_groups
                sizes = [one.num_rows for one in groups]
            for group, n_rows in enumerate(sizes):
                found.append(Block(path, group, number, start, n_rows))
                start += n_rows
    return tuple(found)


@dataclass(frozen=True)
class StoredRows:
    """Rows of a data version by their places in it, read from its files where they are asked for.

    It does what a table does of which few rows, or one column, are wanted.
    """

    blocks: tuple[Block, ...]
    columns: tuple[Column, ...]
    """Of the version."""
    places: Places
    column_names: list[str]

    @property
    def num_rows(self) -> int:
        return len(self.places)

    def select(self, names: Sequence[str], /) -> StoredRows:
        """Return the same rows with these columns alone."""
        return replace(self, column_names=list(names))

    def take(self, places: Sequence[int] | Places, /) -> pa.Table:
        """Return rows by their places among these, in that order, as a table in memory."""
        wanted = self.places[np.asarray(places, np.int64)]
        order = np.argsort(wanted, kind="stable")
        parts = list(self._read(wanted[order]))
        found = pa.concat_tables([schema_of(self.columns, self.column_names).empty_table(), *parts])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return found.take(pa.array(back))

    def __getitem__(self, name: str, /) -> pa.ChunkedArray:
        """Return one column of all rows, in memory."""
        return self.select([name]).take(np.arange(self.num_rows))[name]

    def _read(self, places: Places) -> Iterator[pa.Table]:
        """Yield the rows at ascending places of the version, block by block."""
        ends = np.searchsorted(places, self._starts, side="left")
        for number, block in enumerate(self.blocks):
            own = places[ends[number] : ends[number + 1]]
            if len(own):
                yield block.read(self.columns, self.column_names).take(pa.array(own - block.start))

    @cached_property
    def _starts(self) -> list[int]:
        return [*(block.start for block in self.blocks), *(block.rows.stop for block in self.blocks[-1:])]
