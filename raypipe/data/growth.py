"""The next data version: what was captured and labelled, joined to the rows of the sources.

Rows of live traffic keep their prediction's id (`_id`) and when it was answered (`_at`) beside `_source` and
`_ingested_at`, so that a later version knows which of them an earlier one held already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.clock import Clock
from raypipe.core.errors import DataError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import content_id, sha256_bytes
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.canonical import TYPES
from raypipe.data.committer import read_labels, read_predictions
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.contract import check, rules_of
from raypipe.data.live import AT_COLUMN, ID_COLUMN, live_rows
from raypipe.data.sources.source import INGESTED_COLUMN, SOURCE_COLUMN
from raypipe.data.split import Split
from raypipe.data.table import Write, overwrite, read_version
from raypipe.data.versions import DataVersion, Fragment

ENDPOINT = "endpoint"
"""The source of rows that were captured by the endpoint."""


def is_grown(version: DataVersion) -> bool:
    """Whether a version holds rows of live traffic."""
    return any(fragment.source == ENDPOINT for fragment in version.fragments)


def grow(
    settings: DataSettings,
    folder: PipelineHome,
    base: DataVersion,
    *,
    find: Callable[[str], DataVersion | None],
    clock: Clock,
    progress: Progress = silent,
) -> DataVersion:
    """Return the version that holds the rows of `base` and all labelled rows of live traffic.

    `base` holds rows of the sources alone. Rows that break the contract are left out. Where `find` knows the
    content already, nothing is written. Raises DataError where no captured row has a label.
    """
    found = live_rows(
        read_predictions(folder),
        read_labels(folder),
        base.columns,
        label=settings.label_name,
        time=settings.time,
    )
    live = _accepted(found, settings)
    if not live.num_rows:
        raise DataError(f"no captured row of {folder.name} has a label yet; send labels by prediction id.")
    digest = _digest(live, settings.label_name)
    id = content_id("d", {"base": base.id, "live": digest})
    if (known := find(id)) is not None:
        return known
    progress(Step("collect", f"{id}: {live.num_rows:,} labelled live rows beside {base.n_rows:,}"))
    now = clock.now()
    names = [column.name for column in base.columns]
    history = _history(
        read_version(folder.rows, base.table_version, [*names, SOURCE_COLUMN, INGESTED_COLUMN])
    )
    rows = pa.concat_tables(
        [history, _live(live, names, now).select(history.column_names).cast(history.schema)]
    )
    traffic = Fragment(ENDPOINT, str(folder.predictions), digest, live.num_rows, 0)
    return replace(
        base,
        id=id,
        parent=base.id,
        table_version=overwrite(folder.rows, Write(rows, id)),
        n_rows=rows.num_rows,
        fragments=(*base.fragments, traffic),
        created_at=now,
    )


def live_ids(folder: PipelineHome, version: DataVersion) -> frozenset[str]:
    """Return the ids of the predictions that a version holds; empty for one of the sources alone."""
    if not is_grown(version):
        return frozenset()
    ids = read_version(folder.rows, version.table_version, [ID_COLUMN])[ID_COLUMN]
    return frozenset(ids.drop_null().to_pylist())


def read_grown(folder: PipelineHome, version: DataVersion) -> pa.Table:
    """Return the rows of a grown version with `_id` and `_at`, which are null for rows of the sources."""
    names = [column.name for column in version.columns]
    return read_version(folder.rows, version.table_version, [*names, ID_COLUMN, AT_COLUMN])


def split_grown(
    rows: pa.Table, settings: SplitSettings, *, max_rows: int, seen: frozenset[str], time: str | None
) -> Split:
    """Split the rows of a grown version so that the newest live rows judge, then choose, and the rest trains.

    `seen` are the ids that the champion's data version holds: those rows may train, and judge nothing. The
    shares of validation and test are of the rows that are left, and at most `max_rows` each: after a change
    the newest rows are those to learn from. Raises DataError where a part is empty.
    """
    ordered = rows.take(_order(rows, time))
    ids, at = ordered[ID_COLUMN].to_pylist(), ordered[AT_COLUMN]
    fresh = [place for place, id in enumerate(ids) if id is not None and id not in seen]
    n_test, n_validation = (
        min(max_rows, max(1, round(len(fresh) * share))) for share in (settings.test, settings.validation)
    )
    if len(fresh) <= n_test + n_validation:
        raise DataError(
            f"{len(fresh)} labelled rows are new since the champion was trained, too few to train, choose "
            "and judge by; wait for more labels."
        )
    test, validation = fresh[-n_test:], fresh[-n_test - n_validation : -n_test]
    held_out = np.zeros(len(ids), dtype=bool)
    held_out[test + validation] = True
    data = ordered.drop_columns([ID_COLUMN, AT_COLUMN])
    return Split(
        train=data.filter(pa.array(~held_out)),
        validation=data.take(validation),
        test=data.take(test),
        by="time",
        boundaries=tuple(at[part[0]].as_py().isoformat() for part in (validation, test)),
    )


def _order(rows: pa.Table, time: str | None) -> pa.Array:
    """Put rows of the sources first, by event time if any, then live rows as they were answered."""
    is_live = pc.is_valid(rows[ID_COLUMN]).to_numpy(zero_copy_only=False)
    at = _numbers(rows[AT_COLUMN])
    event = _numbers(rows[time]) if time else np.zeros(rows.num_rows, dtype=np.int64)
    return pa.array(np.lexsort((np.where(is_live, at, event), is_live)))


def _numbers(times: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(pc.fill_null(times.cast(pa.int64()), 0).to_numpy())


def _accepted(live: pa.Table, settings: DataSettings) -> pa.Table:
    frame = pl.DataFrame(pl.from_arrow(live)).with_columns(pl.lit(ENDPOINT).alias(SOURCE_COLUMN))
    accepted = check(frame, rules_of(settings.contract, frame.schema)).accepted
    return live.filter(pc.is_in(live[ID_COLUMN], value_set=accepted[ID_COLUMN].to_arrow()))


def _digest(live: pa.Table, label: str) -> str:
    pairs = zip(live[ID_COLUMN].to_pylist(), live[label].to_pylist(), strict=True)
    return sha256_bytes(repr(sorted(pairs)).encode())


def _history(rows: pa.Table) -> pa.Table:
    n_rows = rows.num_rows
    ids, at = pa.nulls(n_rows, pa.string()), pa.nulls(n_rows, TYPES["timestamp"])
    return rows.append_column(ID_COLUMN, ids).append_column(AT_COLUMN, at)


def _live(live: pa.Table, names: list[str], now: datetime) -> pa.Table:
    stamped = {
        SOURCE_COLUMN: pa.repeat(pa.scalar(ENDPOINT), live.num_rows),
        INGESTED_COLUMN: pa.repeat(pa.scalar(now.astimezone(UTC), TYPES["timestamp"]), live.num_rows),
        ID_COLUMN: live[ID_COLUMN].cast(pa.string()),
        AT_COLUMN: live[AT_COLUMN].cast(TYPES["timestamp"]),
    }
    return pa.table({**{name: live[name] for name in names}, **stamped})
