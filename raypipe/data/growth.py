"""The next data version: what was captured and labelled, joined to the rows of the sources.

Rows of live traffic keep their prediction's id (`_id`) and when it was answered (`_at`) beside `_source` and
`_ingested_at`, so that a later version knows which of them an earlier one held already.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.clock import Clock
from raypipe.core.errors import DataError
from raypipe.core.home import PipelineHome
from raypipe.core.progress import Progress, silent
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.fragments import read_numbered, schema_of
from raypipe.data.ingest import ingest
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.split import Cut, Places, Split
from raypipe.data.table import read_files
from raypipe.data.traffic import traffic_feed
from raypipe.data.versions import ENDPOINT, DataVersion, Versions


def is_grown(version: DataVersion) -> bool:
    """Whether a version holds rows of live traffic."""
    return any(fragment.source == ENDPOINT for fragment in version.fragments)


def grow(
    settings: DataSettings,
    folder: PipelineHome,
    versions: Versions,
    *,
    clock: Clock,
    progress: Progress = silent,
    redacted: Collection[str] = (),
) -> DataVersion:
    """Return the version that holds what the sources hold now, and all labelled rows of live traffic.

    `redacted` are columns that live rows come without. Raises what `ingest` does, and DataError where no
    captured row has a label.
    """
    traffic = partial(traffic_feed, redacted=frozenset(redacted))
    return ingest(settings, folder, versions, clock=clock, progress=progress, traffic=traffic)


def live_ids(folder: PipelineHome, version: DataVersion) -> frozenset[str]:
    """Return the ids of the predictions that a version holds; empty for one of the sources alone."""
    files = [file for one in version.fragments if one.source == ENDPOINT for file in one.files]
    ids = read_files(folder.rows, files, schema_of(version.columns, [ID_COLUMN]))[ID_COLUMN]
    return frozenset(ids.to_pylist())


def newest_live(folder: PipelineHome, version: DataVersion, *, seen: Collection[str]) -> pa.Table:
    """Return the live rows of a grown version whose ids are none of `seen`, the oldest answer first.

    With `_at`.
    """
    names = [column.name for column in version.columns]
    schema = schema_of(version.columns, [*names, ID_COLUMN, AT_COLUMN])
    files = [file for one in version.fragments if one.source == ENDPOINT for file in one.files]
    rows = read_files(folder.rows, files, schema)
    fresh = rows.filter(pa.array([id not in seen for id in rows[ID_COLUMN].to_pylist()], pa.bool_()))
    return fresh.sort_by([(AT_COLUMN, "ascending"), (ID_COLUMN, "ascending")]).select([*names, AT_COLUMN])


def split_live(rows: pa.Table, settings: SplitSettings, *, max_rows: int) -> Split:
    """Return the parts of the rows of `newest_live`: the newest judge, those before choose, the rest train.

    Shares and bounds are those of `cut_grown`, as is the DataError where a part is empty.
    """
    n_test, n_validation = _n_apart(rows.num_rows, settings, max_rows)
    n_train = rows.num_rows - n_validation - n_test
    plain = rows.drop_columns([AT_COLUMN])
    return Split(
        plain.slice(0, n_train),
        plain.slice(n_train, n_validation),
        plain.slice(n_train + n_validation),
        "time",
        tuple(rows[AT_COLUMN][start].as_py().isoformat() for start in (n_train, n_train + n_validation)),
    )


def _n_apart(n_fresh: int, settings: SplitSettings, max_rows: int) -> tuple[int, int]:
    """Return how many of the fresh rows judge and choose; raises DataError where none is left to train."""
    n_test, n_validation = (
        min(max_rows, max(1, round(n_fresh * share))) for share in (settings.test, settings.validation)
    )
    if n_fresh <= n_test + n_validation:
        raise DataError(
            f"{n_fresh} labelled rows are new since the champion was trained, too few to train, choose "
            "and judge by; wait for more labels."
        )
    return n_test, n_validation


def read_grown(folder: PipelineHome, version: DataVersion) -> pa.Table:
    """Return the rows of a grown version with `_id` and `_at`, null for rows of the sources, and numbered."""
    return read_numbered(folder, version, [ID_COLUMN, AT_COLUMN])


def split_grown(
    rows: pa.Table, settings: SplitSettings, *, max_rows: int, seen: frozenset[str], time: str | None
) -> Split:
    """Return the parts of the rows of a grown version as `cut_grown` cuts them, without `_id` and `_at`."""
    cut = cut_grown(rows, settings, max_rows=max_rows, seen=seen, time=time)
    return cut.of(rows.drop_columns([ID_COLUMN, AT_COLUMN]))


def cut_grown(
    rows: pa.Table, settings: SplitSettings, *, max_rows: int, seen: frozenset[str], time: str | None
) -> Cut:
    """Cut the rows of a grown version so that the newest live rows judge, then choose, and the rest trains.

    Only `_id`, `_at` and the time are looked at. `seen` are the ids that the champion's data version holds:
    those rows may train, and judge nothing. The shares of validation and test are of the rows that are left,
    and at most `max_rows` each: after a change the newest rows are those to learn from. Raises DataError
    where a part is empty.
    """
    order = _order(rows, time)
    live = np.flatnonzero(pc.is_valid(rows[ID_COLUMN]).to_numpy()[order])
    ids = rows[ID_COLUMN].take(pa.array(order[live])).to_pylist()
    fresh = live[[id not in seen for id in ids]]
    n_test, n_validation = _n_apart(len(fresh), settings, max_rows)
    test, validation = fresh[-n_test:], fresh[-n_test - n_validation : -n_test]
    trains = np.ones(len(order), dtype=bool)
    trains[test] = trains[validation] = False
    starts = (rows[AT_COLUMN][int(order[part[0]])] for part in (validation, test))
    return Cut(
        train=order[trains],
        validation=order[validation],
        test=order[test],
        by="time",
        boundaries=tuple(start.as_py().isoformat() for start in starts),
    )


def _order(rows: pa.Table, time: str | None) -> Places:
    """Put rows of the sources first, by event time if any, then live rows as they were answered."""
    is_live = pc.is_valid(rows[ID_COLUMN]).to_numpy()
    at = _numbers(rows[AT_COLUMN])
    event = _numbers(rows[time]) if time else np.zeros(rows.num_rows, dtype=np.int64)
    return np.lexsort((np.where(is_live, at, event), is_live))


def _numbers(times: pa.ChunkedArray) -> Places:
    return np.asarray(pc.fill_null(times.cast(pa.int64()), 0).to_numpy())
