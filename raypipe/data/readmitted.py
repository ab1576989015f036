"""Rows that were set aside and mended: a source of their own, beside each that they came from.

A mended row stands for the one in quarantine: it is in a version as long as that one is set aside in it, so
that no row comes twice where a rule is changed or a source is corrected.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pyarrow import parquet

from raypipe.core.files import LOCAL_DISK, fsync_folder, make_durable_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, canonical_json, content_id, sha256_bytes
from raypipe.data.canonical import TYPES
from raypipe.data.config import DataSettings
from raypipe.data.contract import answered_already, setting_aside
from raypipe.data.contract_settings import UniqueRule
from raypipe.data.feeds import Feed, feed_of, recipe_of
from raypipe.data.fragments import QUARANTINE, columns_of
from raypipe.data.keys import KeyStore
from raypipe.data.pieces import accept
from raypipe.data.quarantine import SetAside, set_aside_rows
from raypipe.data.schema import Column
from raypipe.data.sources.misfits import Misfits, fitted
from raypipe.data.sources.rows import PieceRows
from raypipe.data.sources.source import Delivery, Extent, Piece
from raypipe.data.table import read_files, write_files
from raypipe.data.uniqueness import TEXT, KeyIndex, fragment_runs, key_columns
from raypipe.data.versions import DataVersion, Fragment

MARK = " (readmitted)"
"""Follows the name of the source that a row came from."""
_ID, _REPEATS = "_quarantine_id", "_repeats"


@dataclass(frozen=True)
class Refused:
    """A mended row that was not taken in, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Readmitted:
    """What became of mended rows."""

    accepted: tuple[str, ...]
    refused: tuple[Refused, ...]

    def to_json(self) -> Json:
        return asdict(self)


def readmitted_ids(folder: PipelineHome) -> frozenset[str]:
    """Return the ids of all rows that were mended and taken in."""
    return frozenset(
        id for file in _files(folder) for id in parquet.read_table(file, columns=[_ID])[_ID].to_pylist()
    )


def readmit(
    folder: PipelineHome,
    settings: DataSettings,
    version: DataVersion,
    mended: Sequence[tuple[str, Mapping[str, str | None]]],
) -> Readmitted:
    """Check mended rows against the contract, and keep those that pass for the next data version.

    `version` is the newest one. The turn must be held. Raises StorageError, DataError where rows are gone.
    """
    aside = {one.id: one for one in set_aside_rows(folder, version)}
    known, refused = set(readmitted_ids(folder)), list[Refused]()
    by_source: dict[str, list[tuple[SetAside, Mapping[str, str | None]]]] = defaultdict(list)
    for id, row in mended:
        if id in known:
            refused.append(Refused(id, "it was readmitted before"))
        elif id not in aside:
            refused.append(Refused(id, f"it is not in the quarantine of {version.id}"))
        else:
            known.add(id)
            by_source[aside[id].source].append((aside[id], row))
    accepted: list[str] = []
    keys = _Keys(folder, settings, version)
    for source, rows in by_source.items():
        table, reasons = _checked(settings, version.columns, source, rows, keys)
        refused += [Refused(id, reason) for id, reason in reasons.items()]
        if table.num_rows:
            _keep(folder, source, table)
            accepted += table[_ID].to_pylist()
    return Readmitted(tuple(accepted), tuple(refused))


def readmitted_feeds(
    folder: PipelineHome, settings: DataSettings, fragments: Sequence[Fragment]
) -> list[Feed]:
    """Return the feeds of mended rows whose originals are set aside among these fragments."""
    files = _files(folder)
    if not files:
        return []
    columns = _source_columns(settings, columns_of(fragments))
    names = [name for one in fragments for name in one.quarantine]
    ids = pl.Series(pl.from_arrow(read_files(folder.quarantine, names, QUARANTINE)["id"]))
    kinds: Json = [[column.name, column.kind] for column in columns]
    recipe = recipe_of(settings, {"readmitted": kinds})
    lenient = settings.model_copy(update={"contract": answered_already(settings.contract)})
    by_place: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        by_place[file.parent].append(file)
    sources = [
        Mended(place, tuple(found), columns, frozenset(ids), bool(settings.contract.unique))
        for place, found in by_place.items()
    ]
    return [feed_of(one, lenient, recipe, lambda rows: rows) for one in sources if one.kept]


def thin(folder: PipelineHome, theirs: Callable[[pa.Table], npt.NDArray[np.bool_]]) -> None:
    """Write the files of mended rows anew without those for which `theirs` is true; raises StorageError."""
    for file in _files(folder):
        table = parquet.read_table(file)
        is_theirs = theirs(table)
        if is_theirs.any():
            kept = table.filter(pa.array(~is_theirs))
            if kept.num_rows:
                write_files(file.parent, f"{file.stem}-thinned", kept)
            file.unlink()
            fsync_folder(file.parent)


@dataclass(frozen=True)
class Mended:
    """The mended rows of one source: each file that a person gave is a piece."""

    folder: Path
    files: Sequence[Path]
    columns: Sequence[Column]
    still: frozenset[str]
    """The originals that are set aside."""
    with_repeats: bool
    """Whether to take in rows that repeated others: which do is found out only once all rows are known."""

    delivery: ClassVar[Delivery] = "exactly once"
    because: ClassVar[str] = "a row is taken in once, by its id in quarantine"
    is_appended: ClassVar[bool] = False

    @property
    def name(self) -> str:
        original: str = json.loads((self.folder / "source.json").read_bytes())
        return original + MARK

    @property
    def place(self) -> str:
        return str(self.folder)

    @property
    def kept(self) -> bool:
        """Whether any row stands for one that is set aside."""
        return any(self._rows(file).num_rows for file in self.files)

    def extent(self, after: Json) -> Extent:  # noqa: ARG002 - all files are listed each time
        rows = [self._rows(file).num_rows for file in self.files]
        return Extent(len(rows), sum(rows), None)

    def pieces(self, after: Json) -> Iterator[Piece]:  # noqa: ARG002 - all files are listed each time
        for file in self.files:
            rows = self._rows(file)
            if rows.num_rows:
                digest = sha256_bytes(canonical_json([file.name, rows[_ID].to_pylist()]))
                yield Piece(self.name, str(file), digest, 0)

    def read(self, piece: Piece) -> pa.Table:
        rows = self._rows(Path(piece.name))
        return pa.table(
            {
                one.name: rows[one.name].cast(TYPES[one.kind])
                if one.name in rows.column_names
                else pa.nulls(rows.num_rows, TYPES[one.kind])
                for one in self.columns
            }
        )

    def _rows(self, file: Path) -> pa.Table:
        table = parquet.read_table(file)
        return table.filter(
            pa.array(
                [
                    self.with_repeats if repeats else id in self.still
                    for id, repeats in zip(table[_ID].to_pylist(), table[_REPEATS].to_pylist(), strict=True)
                ],
                pa.bool_(),
            )
        )


class _Keys:
    """The keys of the newest version, to which those of mended rows are added."""

    def __init__(self, folder: PipelineHome, settings: DataSettings, version: DataVersion) -> None:
        self._folder, self._version = folder, version
        self._rules = settings.contract.unique
        self._indexes: list[KeyIndex] = []

    def repeats(self, rows: pl.DataFrame) -> Iterator[tuple[int, str]]:
        """Yield for each row that repeats another its place and what of it must be unique."""
        for number, rule in enumerate(self._rules):
            if number == len(self._indexes):
                self._indexes.append(self._index(rule, number))
            index = self._indexes[number]
            for place in index.add([index.store.digests(rows)]).tolist():
                yield place, ", ".join(rule.by)

    def _index(self, rule: UniqueRule, number: int) -> KeyIndex:
        index = KeyIndex(KeyStore(self._folder.keys, key_columns(rule, number, self._version.columns)))
        for fragment in self._version.fragments:
            index.extend(fragment_runs(self._folder, index.store, fragment))
        return index


def _checked(
    settings: DataSettings,
    columns: Sequence[Column],
    source: str,
    rows: Sequence[tuple[SetAside, Mapping[str, str | None]]],
    keys: _Keys,
) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows that pass, and why others do not, by id."""
    ids = [one.id for one, _ in rows]
    found, misfits = dict[str, pa.ChunkedArray | pa.Array](), list[Misfits]()
    for column in _source_columns(settings, columns):
        texts = pa.chunked_array([pa.array([row.get(column.name) for _, row in rows], pa.large_string())])
        found[column.name], misfit = fitted(column.name, texts, column.kind)
        misfits += [misfit] if misfit is not None else []
    found[_ID] = pa.array(ids)
    lenient = setting_aside(settings.contract, [(one.column, one.kind) for one in misfits])
    declared = settings.model_copy(update={"contract": lenient})
    accepted = accept(PieceRows(pa.table(found), (), tuple(misfits)), declared, source)
    reasons = dict.fromkeys(ids, "it has no label or no event time, or data.where leaves it out")
    for place, rule, column, value in accepted.quarantined.select("place", "rule", "column", "value").rows():
        reasons[ids[int(place)]] = f"{column} {rule}. Got {value}"
    repeated = dict(keys.repeats(accepted.rows))
    for place, names in repeated.items():
        reasons[accepted.rows[_ID][place]] = f"{names} {TEXT}: another row has the same"
    kept = accepted.rows.with_row_index("_n").filter(~pl.col("_n").is_in(list(repeated))).drop("_n")
    told = {one.id: any(rule.endswith(TEXT) for rule in one.rules) for one, _ in rows}
    kept = kept.with_columns(pl.Series(_REPEATS, [told[id] for id in kept[_ID]], pl.Boolean))
    return kept.to_arrow(), {id: why for id, why in reasons.items() if id not in set(kept[_ID])}


def _source_columns(settings: DataSettings, columns: Sequence[Column]) -> list[Column]:
    """Return the columns but for a label that is computed."""
    computed = None if isinstance(settings.label, str) else settings.label.name
    return [one for one in columns if one.name != computed]


def _keep(folder: PipelineHome, source: str, table: pa.Table) -> None:
    place = folder.readmitted / content_id("s", source)
    with storage_errors(place):
        make_durable_folder(place)
        LOCAL_DISK.write_atomic(place / "source.json", canonical_json(source))
    write_files(place, content_id("r", table[_ID].to_pylist()), table)


def _files(folder: PipelineHome) -> list[Path]:
    return sorted(folder.readmitted.glob("*/*.parquet"))
