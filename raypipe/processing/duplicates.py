"""Rows that say the same: dropped once, before the split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from raypipe.core.errors import ConfigError
from raypipe.data.distinct import HELD_ROWS, KeyOrder, one_of_each
from raypipe.data.keys import Mask, salt_of
from raypipe.data.names import suggest
from raypipe.data.scratch import scratch_folder
from raypipe.processing.config import DeduplicateSettings

BATCH_ROWS = 131_072


def without_duplicates(
    rows: pa.Table,
    settings: DeduplicateSettings | None,
    columns: Sequence[str],
    time: str | None,
    *,
    keys: Path,
    scratch: Path,
) -> pa.Table:
    """Return the rows that are kept, in their order; all without settings. `by: all` compares `columns`.

    Raises what `kept_rows` raises.
    """
    if settings is None:
        return rows
    read = rows.select(read_by(settings, columns, time))
    batches = (read.slice(start, BATCH_ROWS) for start in range(0, rows.num_rows, BATCH_ROWS))
    kept = kept_rows(batches, rows.num_rows, settings, columns, time, keys=keys, scratch=scratch)
    return rows if kept.all() else rows.filter(pa.array(kept))


def read_by(settings: DeduplicateSettings, columns: Sequence[str], time: str | None) -> list[str]:
    """Return the columns that must be read; raises ConfigError for one that there is not."""
    by = _by(settings, columns)
    return [*by, *([time] if time is not None and time not in by else [])]


def kept_rows(
    batches: Iterable[pa.Table | pa.RecordBatch],
    n_rows: int,
    settings: DeduplicateSettings,
    columns: Sequence[str],
    time: str | None,
    *,
    keys: Path,
    scratch: Path,
    held_rows: int = HELD_ROWS,
) -> Mask:
    """Return which of `n_rows` rows, which come in batches of what `read_by` says, are kept.

    Null equals null, and NaN equals NaN. Of equal times the order of reading decides. At most `held_rows`
    keys are in memory at a time, others as digests in a folder under `scratch`; `keys` is the folder of the
    pipeline's secret. Raises ConfigError for a column that there is not, and StorageError.
    """
    by, order = _by(settings, columns), KeyOrder(settings.keep, time)
    with scratch_folder(scratch) as place:
        frames = _frames(batches)
        return one_of_each(frames, n_rows, by, order, salt=salt_of(keys), place=place, held_rows=held_rows)


def _by(settings: DeduplicateSettings, columns: Sequence[str]) -> list[str]:
    by = list(columns) if settings.by == "all" else list(settings.by)
    for name in by:
        if name not in columns:
            raise ConfigError(
                f"processing.deduplicate.by must name columns of the data. Got {name!r}: "
                f"{suggest(name, columns)}"
            )
    return by


def _frames(batches: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    for batch in batches:
        yield pl.DataFrame(pl.from_arrow(batch))
