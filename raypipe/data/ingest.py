"""From declared sources to an immutable data version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from raypipe.core.clock import Clock
from raypipe.core.errors import ConfigError, DataError, LabelError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.canonical import TYPES
from raypipe.data.config import ContractSettings, DataSettings
from raypipe.data.contract import Checked, check, check_patterns, rules_of, time_rule
from raypipe.data.event_time import as_times
from raypipe.data.expressions import where, with_label
from raypipe.data.locations import SourceFile, locate, sha256_of
from raypipe.data.names import suggest
from raypipe.data.schema import Column, kind_of
from raypipe.data.sources.files import SourceRows, read_files
from raypipe.data.sources.source import INGESTED_COLUMN, SOURCE_COLUMN
from raypipe.data.table import Write, commit, open_table, overwrite, read_version, table_exists
from raypipe.data.versions import BrokenRule, DataVersion, Fragment

# Part of every id: raise it when the same files under the same settings shall give other rows than before.
_LAYOUT = 1
_QUARANTINE = pa.schema(
    [
        ("quarantined_at", TYPES["timestamp"]),
        ("data_version", pa.string()),
        *((name, pa.string()) for name in ("source", "rule", "column", "value", "row")),
    ]
)


@dataclass(frozen=True)
class Accepted:
    """The rows that became the version, and what was left out."""

    rows: pl.DataFrame
    broken: tuple[BrokenRule, ...]
    n_unlabelled: int
    quarantined: pl.DataFrame


def ingest(
    settings: DataSettings,
    folder: PipelineHome,
    *,
    find: Callable[[str], DataVersion | None],
    parent: str | None,
    clock: Clock,
    progress: Progress = silent,
) -> DataVersion:
    """Read the sources, apply the contract, and keep the rows that pass as a data version.

    Where `find` knows a version with this content, that one is returned and nothing is written. Raises
    SourceError, SchemaError, LabelError, DataError, ConfigError and StorageError.
    """
    check_patterns(settings.contract)
    files = locate(settings.sources)
    progress(Step("collect", f"{len(files)} files"))
    digests = [sha256_of(file) for file in files]
    id = version_id(settings, files, digests)
    if (known := find(id)) is not None:
        progress(Step("collect", f"{known.id}: nothing new", 1.0))
        _check_drop(settings.drop, [*(column.name for column in known.columns), *known.unread])
        return known
    found = read_files(files, settings, progress)
    accepted = accept(found.table, settings)
    _check_drop(settings.drop, [*accepted.rows.columns, *found.unread])
    progress(Step("collect", f"{id}: writing {accepted.rows.height:,} rows"))
    now = clock.now()
    return DataVersion(
        id=id,
        parent=parent,
        table_version=_write(folder, id, accepted, now),
        columns=_columns(accepted.rows.drop(SOURCE_COLUMN)),
        unread=found.unread,
        n_rows=accepted.rows.height,
        broken=accepted.broken,
        n_unlabelled=accepted.n_unlabelled,
        fragments=_fragments(files, digests, found),
        created_at=now,
    )


def version_id(settings: DataSettings, files: Sequence[SourceFile], digests: Sequence[str]) -> str:
    """Return the id of the rows that these files give under these settings, wherever the files lie.

    What `drop` names is kept in the version (it is no feature, but may be read), so it is no part of the id.
    """
    made_from = settings.model_dump(mode="json", include={"label", "where", "time"})
    rules = settings.contract.model_dump(mode="json", include={"columns"}, exclude_defaults=True)
    fragments = [[file.source.name, digest] for file, digest in zip(files, digests, strict=True)]
    return content_id("d", {"layout": _LAYOUT, "fragments": fragments, **made_from, **rules})


def accept(table: pa.Table, settings: DataSettings) -> Accepted:
    """Choose, label and check the rows of the sources; raises DataError, LabelError and ConfigError."""
    frame = pl.DataFrame(pl.from_arrow(table))
    frame = where(frame, settings.where)
    if not frame.height:
        raise DataError(f"data.where {settings.where!r} is true for none of {table.num_rows:,} rows.")
    frame = with_label(_with_time(frame, settings.time), settings.label)
    rules = [
        *rules_of(settings.contract, frame.schema),
        *([time_rule(settings.time)] if settings.time else []),
    ]
    checked = check(frame, rules)
    rows = _labelled(checked.accepted, settings.label_name)
    _check_enough(settings.contract, frame.height, checked, rows.height)
    n_unlabelled = checked.accepted.height - rows.height
    return Accepted(rows, checked.broken, n_unlabelled, checked.quarantined)


def read_rows(folder: PipelineHome, version: DataVersion, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of any data version, in the order in which they were read from the sources.

    `columns` defaults to the version's own; `_source` and `_ingested_at` come only if asked for. Raises
    DataError where the rows are gone.
    """
    names = columns if columns is not None else [column.name for column in version.columns]
    return read_version(folder.rows, version.table_version, names)


def rows_table_exists(folder: PipelineHome) -> bool:
    """Whether any data version of this pipeline has been written."""
    return table_exists(folder.rows)


def read_quarantine(folder: PipelineHome) -> pa.Table:
    """Return all rows that were ever quarantined; an empty table where none was."""
    if not table_exists(folder.quarantine):
        return _QUARANTINE.empty_table()
    return read_version(folder.quarantine, None)


def _with_time(frame: pl.DataFrame, time: str | None) -> pl.DataFrame:
    if time is None:
        return frame
    if time not in frame.columns:
        raise DataError(
            f"the time column {time!r} is no column of the sources; {suggest(time, frame.columns)}"
        )
    return frame.with_columns(as_times(frame[time]))


def _labelled(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    column = pl.col(label)
    has_label = column.is_not_null()
    if frame.schema[label].is_float():
        has_label &= column.is_not_nan()
    labelled = frame.filter(has_label)
    if frame.height and not labelled.height:
        raise LabelError(
            f"the label {label!r} is null in all of {frame.height:,} rows; name a column with values in "
            "`data.label`, or correct the files."
        )
    return labelled


def _check_enough(contract: ContractSettings, n_rows: int, checked: Checked, n_kept: int) -> None:
    if checked.n_bad > contract.max_bad_ratio * n_rows:
        worst = max(checked.broken, key=lambda rule: rule.n_rows)
        raise DataError(
            f"{checked.n_bad:,} of {n_rows:,} rows break the contract, more than data.contract.max_bad_ratio "
            f"{contract.max_bad_ratio:g} allows; most often ({worst.n_rows:,} rows) column {worst.column!r}: "
            f"{worst.rule}."
        )
    if n_kept < max(1, contract.min_rows):
        raise DataError(
            f"{n_kept:,} rows are left of {n_rows:,}, fewer than data.contract.min_rows {contract.min_rows}: "
            f"{checked.n_bad:,} break the contract and {checked.accepted.height - n_kept:,} have no label."
        )


def _fragments(files: Sequence[SourceFile], digests: Sequence[str], rows: SourceRows) -> tuple[Fragment, ...]:
    return tuple(
        Fragment(file.source.name, file.path, digest, n_rows, file.n_bytes)
        for file, digest, n_rows in zip(files, digests, rows.n_rows, strict=True)
    )


def _check_drop(drop: Sequence[str], known: Sequence[str]) -> None:
    for name in drop:
        if name not in known:
            raise ConfigError(f"data.drop names {name!r}, which is no column; {suggest(name, known)}")


def _write(folder: PipelineHome, id: str, accepted: Accepted, now: datetime) -> int:
    """Write the rows and what was quarantined; return the version of the Delta table."""
    _write_quarantine(folder, id, accepted.quarantined, now)
    stamped = accepted.rows.with_columns(
        pl.col(SOURCE_COLUMN).cast(pl.String),
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias(INGESTED_COLUMN),
    )
    return overwrite(folder.rows, Write(stamped.to_arrow(), id))


def _columns(frame: pl.DataFrame) -> tuple[Column, ...]:
    fields = frame.head(0).to_arrow().schema
    return tuple(Column(field.name, kind_of(field.type), _has_missing(frame[field.name])) for field in fields)


def _has_missing(column: pl.Series) -> bool:
    return column.null_count() > 0 or (column.dtype.is_float() and bool(column.is_nan().any()))


def _write_quarantine(folder: PipelineHome, id: str, rows: pl.DataFrame, now: datetime) -> None:
    """Append the rows once for each data version, however often its writing is begun anew."""
    if not rows.height:
        return
    table = open_table(folder.quarantine, _QUARANTINE)
    if table.transaction_version(id) is None:
        columns = {name: rows[name].to_arrow() for name in rows.columns}
        columns["quarantined_at"] = pa.repeat(pa.scalar(now, TYPES["timestamp"]), rows.height)
        columns["data_version"] = pa.repeat(pa.scalar(id), rows.height)
        arrow = pa.table({field.name: columns[field.name] for field in _QUARANTINE}).cast(_QUARANTINE)
        commit(table, folder.quarantine, Write(arrow, id, {id: 1}), mode="append")
