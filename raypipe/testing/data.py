"""Fakes and examples for what keeps data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import Json, sha256_bytes
from raypipe.data.config import DataSettings
from raypipe.data.feeds import Feeds, feed_of, recipe_of
from raypipe.data.fragments import read_rows
from raypipe.data.ingest import ingest
from raypipe.data.sources.source import Delivery, Extent, Piece
from raypipe.data.versions import Change, DataVersion, Fragment, of_id
from raypipe.testing.fakes import FakeClock


class VersionsInMemory:
    """The record of a pipeline's data versions, for as long as the object lives."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._versions: list[DataVersion] = []
        self._fragments: dict[str, Fragment] = {}

    def all(self) -> tuple[DataVersion, ...]:
        return tuple(reversed(self._versions))

    def fragments(self) -> tuple[Fragment, ...]:
        return tuple(self._fragments.values())

    def keep(self, fragment: Fragment) -> None:
        self._fragments.setdefault(fragment.id, fragment)

    def add(self, version: DataVersion) -> None:
        known = of_id(self._versions, version.id)
        if known is not None and known.removed_at is not None:
            self._versions.remove(known)
            version, known = replace(version, erased=known.erased), None
        if known is None:
            self._versions.append(version)
        for fragment in version.fragments:
            self.keep(fragment)

    def change(self, change: Change) -> None:
        self.changes.append(change)
        self._fragments |= {one.id: one for one in change.fragments}
        for id in change.forgotten:
            del self._fragments[id]
        changed = {one.id: one for one in change.versions}
        self._versions = [
            replace(found, fragments=tuple(self._fragments[one.id] for one in found.fragments))
            for found in (changed.get(one.id, one) for one in self._versions)
        ]


def example_fragment(**fields: object) -> Fragment:
    """Return the record of a fragment of 1,000 rows, with other values for the fields that are named."""
    values: dict[str, object] = {
        "id": "f-0123456789ab",
        "key": "f-0123456789ab",
        "recipe": "s-0123456789ab",
        "source": "files",
        "path": "rows/a.csv",
        "sha256": "ab" * 32,
        "n_bytes": 4096,
        "n_rows": 1010,
        "n_kept": 1000,
        "n_bad": 7,
        "n_unlabelled": 3,
        "broken": (),
        "columns": (),
        "untyped": (),
        "widened": (),
        "unread": (),
        "files": ("f-0123456789ab-00000.parquet",),
        "quarantine": (),
        "since": None,
        "until": None,
        "position": None,
        "after": None,
        "n_pieces": 1,
        "pieces": (),
        "ingested_at": datetime(2026, 1, 1, tzinfo=UTC),
        **fields,
    }
    return Fragment(**values)  # type: ignore[arg-type]


class SourceInMemory:
    """A source of tables: listed by digest, or appended and then told by position."""

    delivery: Delivery = "exactly once"
    because = "a table is known by its digest"
    place = "memory"

    def __init__(self, name: str, tables: Sequence[pa.Table] = (), *, is_appended: bool = False) -> None:
        self.name = name
        self.is_appended = is_appended
        self.tables = list(tables)
        self.was_read: list[str] = []
        """The names of the pieces that were read, in order."""

    def extent(self, after: Json) -> Extent:
        left = self.tables[_start(after) :]
        return Extent(len(left), sum(table.num_rows for table in left), None)

    def pieces(self, after: Json) -> Iterator[Piece]:
        for number in range(_start(after), len(self.tables)):
            name = f"{self.name} {number}"
            if self.is_appended:
                yield Piece(self.name, name, None, 0, number + 1)
            else:
                yield Piece(self.name, name, sha256_bytes(repr(self.tables[number].to_pydict()).encode()), 0)

    def read(self, piece: Piece) -> pa.Table:
        self.was_read.append(piece.name)
        return self.tables[int(piece.name.split()[-1])]


def feeds_in_memory(settings: DataSettings, *sources: SourceInMemory) -> Feeds:
    """Return the feeds that accept the rows of sources as the settings say."""
    recipe = recipe_of(settings, None)
    return Feeds(tuple(feed_of(source, settings, recipe, lambda rows: rows) for source in sources))


class Lake:
    """A pipeline whose sources are in memory, and its rows in a folder.

    Settings are those of `DataSettings` but for the sources; the label is `y` where none is given.
    """

    def __init__(self, place: Path) -> None:
        self.folder: PipelineHome = Home(place).pipeline("p")
        self.versions = VersionsInMemory()
        self.clock = FakeClock()
        self.told: list[str] = []

    def ingest(self, *sources: SourceInMemory, **settings: object) -> DataVersion:
        """Ingest what the sources hold now; of each `was_read` starts anew."""
        unused = {"name": "unused", "format": "csv", "path": "nowhere"}
        declared = DataSettings.model_validate({"sources": [unused], "label": "y", **settings})
        for source in sources:
            source.was_read.clear()
        return ingest(
            declared,
            self.folder,
            self.versions,
            clock=self.clock,
            feeds=feeds_in_memory(declared, *sources),
            progress=lambda step: self.told.append(step.message),
        )

    def rows(self, version: DataVersion) -> pa.Table:
        """Return the rows of a version."""
        return read_rows(self.folder, version)


def _start(after: Json) -> int:
    return after if isinstance(after, int) else 0
