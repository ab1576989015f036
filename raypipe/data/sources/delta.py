"""A Delta table as a source: the files of one version, or those that each version adds."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow import dataset, fs

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json, canonical_json
from raypipe.data.sources.config import DeltaSettings
from raypipe.data.sources.places import masked
from raypipe.data.sources.source import Delivery, Extent, Piece

_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class _Added:
    """A data file of a table's version, the `number`-th of those that are read for that version.

    Those are all of its files where it is the first version that is read, else the ones that it adds.
    """

    version: int
    is_first: bool
    number: int
    path: str
    n_bytes: int
    n_rows: int | None
    partition: Mapping[str, Json]

    @property
    def position(self) -> Json:
        return {"version": self.version, "is_first": self.is_first, "n_files": self.number}


@dataclass(frozen=True)
class DeltaSource:
    """A table that others write; its files never change, so each is a piece."""

    settings: DeltaSettings
    _datasets: dict[int, dataset.FileSystemDataset] = field(default_factory=dict, repr=False, compare=False)

    delivery: ClassVar[Delivery] = "exactly once"

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def place(self) -> str:
        return masked(self.settings.path)

    @property
    def because(self) -> str:
        if self.settings.follow:
            return "each file once, in the order of the table's versions"
        return "a version of the table never changes"

    @property
    def is_appended(self) -> bool:
        return self.settings.follow

    def extent(self, after: Json) -> Extent:
        added = list(self._added(after))
        counts = [file.n_rows for file in added if file.n_rows is not None]
        n_rows = sum(counts) if len(counts) == len(added) else None
        return Extent(len(added), n_rows, sum(file.n_bytes for file in added))

    def pieces(self, after: Json) -> Iterator[Piece]:
        for file in self._added(after):
            yield Piece(
                source=self.name,
                name=posixpath.join(self.place, file.path),
                digest=self._digest(file),
                n_bytes=file.n_bytes,
                position=file.position if self.is_appended else None,
                start={"version": file.version, "path": file.path},
            )

    def read(self, piece: Piece) -> pa.Table:
        match piece.start:
            case {"version": int(version), "path": str(path)}:
                pass
            case other:
                raise SourceError(
                    f"a piece of source {self.name} must name a version and a file. Got {other!r}."
                )
        with self._errors():
            whole = self._dataset(version)
            found = [part for part in whole.get_fragments() if part.path == path]
            return dataset.FileSystemDataset(found, whole.schema, whole.format, whole.filesystem).to_table()

    def _added(self, after: Json) -> Iterator[_Added]:
        with self._errors():
            newest = self._table(self.settings.version).version()
            match after:
                case {"version": int(version), "is_first": bool(is_first), "n_files": int(n_read)}:
                    begun = self._snapshot(version) if is_first else self._added_by(version)
                    yield from begun[n_read:]
                    for later in range(version + 1, newest + 1):
                        yield from self._added_by(later)
                case _:
                    files = self._snapshot(newest)
                    if not files:
                        raise SourceError(f"source {self.name} has no rows: {self.place} is empty.")
                    yield from files

    def _snapshot(self, version: int) -> list[_Added]:
        """Return all files of a version."""
        actions = pa.table(self._table(version).get_add_actions()).to_pylist()
        return [
            _Added(
                version,
                True,
                number,
                unquote(action["path"]),
                action["size_bytes"],
                action.get("num_records"),
                action.get("partition") or {},
            )
            for number, action in enumerate(sorted(actions, key=_age), 1)
        ]

    def _added_by(self, version: int) -> list[_Added]:
        """Return the files that a version of an append-only table adds; compaction adds none."""
        actions = self._log_entry(version)
        if any(action["remove"].get("dataChange", True) for action in actions if "remove" in action):
            raise SourceError(
                f"version {version} of {self.place} changes or removes rows, which a followed table may not; "
                f"read source {self.name} whole with `follow: false`."
            )
        added = [action["add"] for action in actions if action.get("add", {}).get("dataChange")]
        return [
            _Added(
                version,
                False,
                number,
                unquote(action["path"]),
                action["size"],
                json.loads(action.get("stats") or "{}").get("numRecords"),
                action.get("partitionValues") or {},
            )
            for number, action in enumerate(sorted(added, key=_path), 1)
        ]

    def _log_entry(self, version: int) -> list[dict[str, dict[str, Any]]]:
        try:
            with self._filesystem().open_input_file(f"_delta_log/{version:020d}.json") as file:
                return [json.loads(line) for line in file.read().splitlines() if line.strip()]
        except FileNotFoundError as error:
            raise SourceError(
                f"the log of {self.place} does not reach back to version {version}, which source {self.name} "
                "has not read yet; read it whole with `follow: false`, and let the table keep its log longer."
            ) from error

    def _digest(self, file: _Added) -> str:
        digest = hashlib.sha256(canonical_json(file.partition) if file.partition else b"")
        with self._errors(), self._filesystem().open_input_stream(file.path, compression=None) as stream:
            while chunk := stream.read(_READ_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _dataset(self, version: int) -> dataset.FileSystemDataset:
        if version not in self._datasets:
            self._datasets.clear()
            self._datasets[version] = self._table(version).to_pyarrow_dataset()
        return self._datasets[version]

    def _filesystem(self) -> fs.FileSystem:
        return fs.PyFileSystem(DeltaStorageHandler(self.settings.path))

    def _table(self, version: int | None) -> DeltaTable:
        return DeltaTable(self.settings.path, version=version)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TableNotFoundError as error:
            raise SourceError(f"source {self.name} has no table: {self.place} is no Delta table.") from error
        except (DeltaError, OSError, pa.ArrowException) as error:
            cause = str(error).splitlines()[0].rstrip(".")
            raise SourceError(f"source {self.name} cannot be read from {self.place}: {cause}.") from error


def _age(action: Mapping[str, Any]) -> tuple[Any, str]:
    return action["modification_time"], str(action["path"])


def _path(action: Mapping[str, Any]) -> str:
    return str(action["path"])
