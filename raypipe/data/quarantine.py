"""Rows that were set aside: to look at, to write out for a person to mend, and to take in again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from raypipe.core.errors import DataError
from raypipe.core.files import LOCAL_DISK, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, canonical_json, sha256_bytes
from raypipe.data.fragments import read_quarantine
from raypipe.data.versions import DataVersion

TOLD = ("_id", "_source", "_piece", "_rule", "_value")
"""What an exported row has before its own columns; a mended one needs the first."""
_ORIGIN = frozenset({"_at", "_ingested_at"})


@dataclass(frozen=True)
class SetAside:
    """A row in quarantine, with each rule that it broke."""

    id: str
    source: str
    piece: str
    quarantined_at: datetime
    rules: tuple[str, ...]
    """Each with its column, such as `age must be >= 0`."""
    values: tuple[str | None, ...]
    """For each rule what broke it."""
    row: Mapping[str, Json]
    """Its columns as JSON: times as text, NaN as null."""

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "quarantined_at": self.quarantined_at.isoformat()}


@dataclass(frozen=True)
class Group:
    """How many rows of a source broke a rule; a row that broke several is counted under each."""

    source: str
    rule: str
    n_rows: int
    n_readmitted: int

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def set_aside_rows(folder: PipelineHome, version: DataVersion) -> tuple[SetAside, ...]:
    """Return the rows that a version left in quarantine; raises DataError where they are gone."""
    found: dict[str, SetAside] = {}
    for entry in read_quarantine(folder, version).to_pylist():
        id = entry["id"] or _id_of_old(entry)
        before = found.get(id)
        found[id] = SetAside(
            id=id,
            source=entry["source"],
            piece=entry["piece"],
            quarantined_at=entry["quarantined_at"],
            rules=(*(before.rules if before else ()), f"{entry['column']} {entry['rule']}"),
            values=(*(before.values if before else ()), entry["value"]),
            row=json.loads(entry["row"]),
        )
    return tuple(found.values())


def groups(rows: Sequence[SetAside], readmitted: frozenset[str]) -> tuple[Group, ...]:
    """Return the rows by source and rule, in order of appearance."""
    counts: dict[tuple[str, str], list[int]] = {}
    for one in rows:
        for rule in one.rules:
            found = counts.setdefault((one.source, rule), [0, 0])
            found[0] += 1
            found[1] += one.id in readmitted
    return tuple(Group(*key, *found) for key, found in counts.items())


def export(rows: Sequence[SetAside], path: Path) -> int:
    """Write rows as JSON lines, or as CSV where the file is named so; return their number.

    Raises DataError for a file of another name, StorageError.
    """
    lines = [_line(one) for one in rows]
    with storage_errors(path):
        if path.suffix == ".csv":
            _write_csv(lines, path)
        elif path.suffix in (".jsonl", ".ndjson"):
            text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
            LOCAL_DISK.write_atomic(path, text.encode())
        else:
            raise _of_another_name(path)
    return len(lines)


def read_mended(path: Path) -> list[tuple[str, dict[str, str | None]]]:
    """Return what a person mended: for each row its id in quarantine, and its columns as texts.

    Raises DataError for a file that cannot be read so.
    """
    try:
        lines = list(_read_lines(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as mended rows: {error}.") from error
    found = []
    for number, line in enumerate(lines, 1):
        id = line.get("_id")
        if not isinstance(id, str):
            raise DataError(f"row {number:,} of {path} must have its `_id`, as it was exported. Got {id!r}.")
        columns = {name: _text(value) for name, value in line.items() if name not in TOLD and name}
        found.append((id, columns))
    return found


def own_columns(row: Mapping[str, Json]) -> dict[str, Json]:
    """Return the columns of a row without those that tell where a row of live traffic came from."""
    return {name: value for name, value in row.items() if name not in _ORIGIN and name != "_id"}


def _line(one: SetAside) -> dict[str, Json]:
    told = (one.id, one.source, one.piece, "; ".join(one.rules), "; ".join(str(v) for v in one.values))
    return {**dict(zip(TOLD, told, strict=True)), **own_columns(one.row)}


def _write_csv(lines: Sequence[Mapping[str, Json]], path: Path) -> None:
    names = list(dict.fromkeys(chain(TOLD, *lines)))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({name: _text(value) for name, value in line.items()} for line in lines)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        yield from ({k: v or None for k, v in row.items()} for row in csv.DictReader(text.splitlines(True)))
    elif path.suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError(f"row {number:,} of {path} must be a JSON object. Got {line[:60]!r}.")
            yield row
    else:
        raise _of_another_name(path)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _of_another_name(path: Path) -> DataError:
    return DataError(f"FILE must end in .csv or .jsonl. Got {str(path)!r}.")


def _id_of_old(entry: Mapping[str, Any]) -> str:
    """Return the id of a row that was set aside before rows had one."""
    return f"q-{sha256_bytes(canonical_json([entry['source'], entry['piece'], entry['row']]))[:16]}"
