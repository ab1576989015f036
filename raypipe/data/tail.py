"""What was appended to a table since a version, by its log alone: at the cost of what is new.

A version is a position. Entries that only arrange rows anew (compaction) are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from raypipe.data.table import table_exists

BEGINNING = -1
"""The position before the first entry."""


@dataclass(frozen=True)
class Tail:
    """The data files appended after a position, in the order of their rows, and the position behind them.

    `is_whole`: they are all that the table holds, since rows that were known may be gone, or the entries in
    between are; what was known counts no more.
    """

    files: tuple[str, ...]
    position: int
    is_whole: bool = False


def read_tail(path: Path, after: int) -> Tail | None:
    """Return what was appended to a table after a position; None where nothing was."""
    if after == BEGINNING:
        return _whole(path) if table_exists(path) else None
    log, files, position = path / "_delta_log", list[str](), after
    while (actions := _actions(_entry(log, position + 1))) is not None:
        if any(action["remove"].get("dataChange", True) for action in actions if "remove" in action):
            return _whole(path)
        added = [action["add"] for action in actions if "add" in action]
        files += sorted(one["path"] for one in added if one.get("dataChange", True))
        position += 1
    if position == after:
        return _whole(path) if _is_past(log, after) else None
    return Tail(tuple(files), position)


def files_at(path: Path, position: int) -> tuple[str, ...]:
    """Return the data files of a table as it was at a position; none where that can no longer be told."""
    if position == BEGINNING:
        return ()
    try:
        table = DeltaTable(str(path), version=position)
    except DeltaError:
        return ()
    return tuple(sorted(pa.table(table.get_add_actions())["path"].to_pylist()))


def _whole(path: Path) -> Tail:
    table = DeltaTable(str(path))
    files: list[str] = pa.table(table.get_add_actions())["path"].to_pylist()
    return Tail(tuple(sorted(files)), table.version(), is_whole=True)


def _entry(log: Path, version: int) -> Path:
    return log / f"{version:020d}.json"


def _actions(entry: Path) -> list[Mapping[str, Any]] | None:
    """Return what an entry says; None where it is not there, or a power cut left it empty."""
    try:
        lines = entry.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return [json.loads(line) for line in lines] or None


def _is_past(log: Path, position: int) -> bool:
    """Whether the table has gone on from a position whose next entry was cleaned up."""
    try:
        return int(json.loads((log / "_last_checkpoint").read_bytes())["version"]) > position
    except FileNotFoundError:
        return False
