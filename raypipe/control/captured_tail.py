"""What the tables of captured answers and labels have got since a moment, look by look."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from raypipe.core.clock import Clock
from raypipe.core.errors import SchemaError
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.data.tail import BEGINNING, files_at, read_tail

N_FILES_BEFORE = 500
"""Files of each table, from before the start, that are read too."""


@dataclass(frozen=True)
class Start:
    """When the following began, and how far the tables had come then; kept, so a restart begins there too."""

    at: datetime
    predictions: int
    labels: int


@dataclass(frozen=True)
class News:
    """Files of both tables, in the order of their rows."""

    answers: tuple[Path, ...]
    labels: tuple[Path, ...]
    is_anew: bool = False
    """Whether whatever was known counts no more."""
    is_before: bool = False
    """Whether they were there before the start."""


class CapturedTail:
    """Follows both tables, from the newest files before its start on; `name` tells it from others."""

    def __init__(self, folder: PipelineHome, name: str, clock: Clock) -> None:
        self._tables = (folder.predictions, folder.labels)
        self.start = _started(folder.root / "decisions" / f"{name}-start.json", self._tables, clock)
        self._positions: tuple[int, int] | None = None

    def look(self) -> Iterator[News]:
        """Yield what has come since the last look; at the first one, what was there before the start too.

        What the caller did not take, because it failed, comes again.
        """
        if self._positions is None:
            start, (answers, labels) = self.start, self._tables
            before = self._before(answers, start.predictions), self._before(labels, start.labels)
            yield News(*before, is_anew=True, is_before=True)
            self._positions = (start.predictions, start.labels)
        news, positions = self._since(self._positions)
        yield news
        self._positions = positions

    def _before(self, table: Path, position: int) -> tuple[Path, ...]:
        return tuple(table / file for file in files_at(table, position)[-N_FILES_BEFORE:])

    def _since(self, positions: tuple[int, int]) -> tuple[News, tuple[int, int]]:
        tails = [read_tail(path, at) for path, at in zip(self._tables, positions, strict=True)]
        is_anew = any(tail is not None and tail.is_whole for tail in tails if BEGINNING not in positions)
        if is_anew:
            # Rows that were known may be gone; all that there is is read again.
            positions = (BEGINNING, BEGINNING)
            tails = [read_tail(path, BEGINNING) for path in self._tables]
        answers, labels = (
            () if tail is None else tuple(path / file for file in tail.files)
            for path, tail in zip(self._tables, tails, strict=True)
        )
        answered, labelled = (
            known if tail is None else tail.position for known, tail in zip(positions, tails, strict=True)
        )
        return News(answers, labels, is_anew), (answered, labelled)


def read_rows(file: Path, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the rows of a file of either table, with these columns."""
    table = pq.ParquetFile(file).read(columns=list(columns))
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def _started(path: Path, tables: tuple[Path, Path], clock: Clock) -> Start:
    try:
        value = json.loads(path.read_bytes())
        return Start(datetime.fromisoformat(value["at"]), value["predictions"], value["labels"])
    except FileNotFoundError:
        found = [read_tail(one, BEGINNING) for one in tables]
        positions = [BEGINNING if tail is None else tail.position for tail in found]
        start = Start(clock.now(), positions[0], positions[1])
        write_json(path, {"at": start.at.isoformat(), "predictions": positions[0], "labels": positions[1]})
        return start
    except (ValueError, KeyError) as error:
        raise SchemaError(f"{path} must hold at, predictions and labels ({error}).") from error
