"""`raypipe data diff` and `gc`: data versions beside each other, and how those go that nothing keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, size, table

if TYPE_CHECKING:
    from raypipe.api.data import PipelineData
    from raypipe.data.diff import ColumnChange, VersionDiff
    from raypipe.data.retention import Collected
    from raypipe.data.row_differences import RowDifferences
    from raypipe.data.schema import Column
    from raypipe.data.shifts import ColumnShift, Measure

_NOTHING = "-"
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (diff, gc):
        app.command()(command)


def diff(
    before: Annotated[str, typer.Argument(help="The data version to start from.", metavar="A")],
    after: Annotated[str, typer.Argument(help="The data version to compare with it.", metavar="B")],
    config: ConfigArgument = DEFAULT_CONFIG,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that names a row, alone or with others; by default data.key.", metavar="COLUMN"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two data versions: columns, rows added, removed and changed, how each column moved."""
    found = data_of(config).diff(before, after, key=key or None)
    emit(found.to_json(), as_json, lambda: _lines(found))


def gc(
    config: ConfigArgument = DEFAULT_CONFIG,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the data versions that data.retention does not keep, and files that no version needs.

    The newest version stays, and so do those that a model or an unfinished run names.
    """
    found = data_of(config).collect_garbage(dry_run=dry_run)
    emit(found.to_json(), as_json, lambda: _collected_lines(found))


def data_of(config: str) -> PipelineData:
    """Return the data versions of the pipeline that a config describes."""
    from raypipe.api.pipeline import load
    from raypipe.cli.progress import shown

    with shown() as progress:
        return load(config, progress=progress).data


def _collected_lines(found: Collected) -> Iterator[str]:
    would = "would be " if found.is_dry else ""
    for id in found.removed:
        yield f"{id} {would}removed"
    for one in found.kept:
        yield f"{one.id} stays: {one.why}"
    yield (
        f"{would}deleted: {found.n_files:,} files, {size(found.n_bytes)}; "
        f"{found.n_fragments:,} fragments that no version holds"
    )


def _lines(found: VersionDiff) -> Iterator[str]:
    yield from _row_lines(found)
    yield ""
    if found.columns:
        kinds = ("column", f"in {found.before}", f"in {found.after}")
        yield from table(kinds, [_column_row(change) for change in found.columns])
    else:
        yield "the columns are the same."
    if found.shifts:
        yield ""
        header = ("column", "psi", "missing", "", "mean", "", "median", "")
        yield from table(header, [_shift_row(shift) for shift in found.shifts])
        yield "psi: below 0.1 is called stable, above 0.25 a shift"


def _row_lines(found: VersionDiff) -> Iterator[str]:
    rows = found.rows
    changed = "" if rows.n_changed is None else f", {rows.n_changed:,} changed"
    yield (
        f"from {found.before} to {found.after}: {rows.n_added:,} rows added, "
        f"{rows.n_removed:,} removed{changed}, {rows.n_equal:,} equal"
    )
    yield f"{rows.n_in_shared_fragments:,} of the equal rows lie in files that both hold; {_by(rows)}"


def _by(rows: RowDifferences) -> str:
    if rows.key:
        return f"rows are told apart by {', '.join(rows.key)}, and compared in {len(rows.compared)} columns"
    return f"without --key a changed row counts as removed and added; {len(rows.compared)} columns compared"


def _column_row(change: ColumnChange) -> tuple[str, str, str]:
    return change.column, _column(change.before), _column(change.after)


def _column(column: Column | None) -> str:
    return _NOTHING if column is None else f"{column.kind}{', may be missing' if column.nullable else ''}"


def _shift_row(shift: ColumnShift) -> tuple[str, ...]:
    psi = _NOTHING if shift.psi is None else f"{shift.psi:.4f}"
    median = shift.quantiles["0.5"]
    measures: tuple[Measure, ...] = (shift.missing_ratio, shift.mean, median)
    return (shift.column, psi, *(_number(value) for measure in measures for value in measure))


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.6g}"
