"""Rows that say the same: dropped once, before the split."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from raypipe.core.errors import ConfigError
from raypipe.data.names import suggest
from raypipe.processing.config import DeduplicateSettings

_PLACE = "_place"


def without_duplicates(
    rows: pa.Table, settings: DeduplicateSettings | None, columns: Sequence[str], time: str | None
) -> pa.Table:
    """Return the rows that are kept, in their order; all without settings. `by: all` compares `columns`.

    Null equals null, and NaN equals NaN. Raises ConfigError for a column that there is not.
    """
    if settings is None:
        return rows
    by = list(columns) if settings.by == "all" else list(settings.by)
    for name in by:
        if name not in columns:
            raise ConfigError(
                f"processing.deduplicate.by must name columns of the data. Got {name!r}: "
                f"{suggest(name, columns)}"
            )
    read = [*by, *([time] if time is not None and time not in by else [])]
    frame = pl.DataFrame(pl.from_arrow(rows.select(read))).with_row_index(_PLACE)
    if time is not None:
        # Of equal times the order of reading decides.
        frame = frame.sort(time, maintain_order=True)
    kept = frame.unique(subset=by, keep=settings.keep, maintain_order=True)[_PLACE]
    return rows if len(kept) == rows.num_rows else rows.take(kept.sort().to_arrow())
