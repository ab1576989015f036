"""`raypipe quarantine`: rows that broke the contract, to look at, to mend, and to take in again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, table
from raypipe.cli.versions import data_of

if TYPE_CHECKING:
    from raypipe.data.quarantine import Group, SetAside
    from raypipe.data.readmitted import Readmitted

app = typer.Typer(
    help="Rows that broke the contract: look at them, mend them, take them in.", no_args_is_help=True
)
VersionOption = Annotated[
    str | None, typer.Option(help="A data version; by default the newest.", metavar="VERSION")
]
RuleOption = Annotated[
    str | None, typer.Option(help="Only rows that broke a rule whose text holds this.", metavar="TEXT")
]
SourceOption = Annotated[str | None, typer.Option(help="Only rows of this source.", metavar="NAME")]


@app.command("list")
def list_(
    config: ConfigArgument = DEFAULT_CONFIG, version: VersionOption = None, as_json: JsonOption = False
) -> None:
    """Count the rows in quarantine by source and rule."""
    from raypipe.api import quarantine

    found = quarantine.groups(data_of(config), version)
    emit([one.to_json() for one in found], as_json, lambda: _groups(found))


@app.command("show")
def show(
    config: ConfigArgument = DEFAULT_CONFIG,
    version: VersionOption = None,
    rule: RuleOption = None,
    source: SourceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="So many rows at most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show rows in quarantine, each with the rules that it broke and the values that broke them."""
    from raypipe.api import quarantine

    found = quarantine.rows(data_of(config), version, rule=rule, source=source)[:limit]
    emit([one.to_json() for one in found], as_json, lambda: _rows(found))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where to write: .csv or .jsonl.", metavar="FILE")],
    config: ConfigArgument = DEFAULT_CONFIG,
    version: VersionOption = None,
    rule: RuleOption = None,
    source: SourceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write rows in quarantine to a file, for a person to mend and `readmit`."""
    from raypipe.api import quarantine

    n_rows = quarantine.export(data_of(config), file, version, rule=rule, source=source)
    emit({"file": str(file), "n_rows": n_rows}, as_json, lambda: [f"{file}: {n_rows:,} rows"])


@app.command("readmit")
def readmit(
    file: Annotated[Path, typer.Argument(help="Exported rows, mended: .csv or .jsonl.", metavar="FILE")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take mended rows into the next data version, those that keep the contract now; each row once.

    A row that is left out of FILE stays in quarantine. Ends with exit code 1 where a row was refused.
    """
    from raypipe.api import quarantine

    found = quarantine.readmit(data_of(config), file)
    emit(found.to_json(), as_json, lambda: _readmitted(found))
    if found.refused:
        raise typer.Exit(1)


def _groups(found: Sequence[Group]) -> Iterator[str]:
    if not found:
        yield "no row is in quarantine."
        return
    rows = [(one.source, one.rule, f"{one.n_rows:,}", f"{one.n_readmitted:,}") for one in found]
    yield from table(("source", "rule", "rows", "readmitted"), rows)


def _rows(found: Sequence[SetAside]) -> Iterator[str]:
    for one in found:
        yield f"{one.id} of {one.piece}"
        for rule, value in zip(one.rules, one.values, strict=True):
            yield f"    {rule}. Got {value}"
        yield f"    {json.dumps(one.row, ensure_ascii=False)}"


def _readmitted(found: Readmitted) -> Iterator[str]:
    yield f"{len(found.accepted):,} rows come with the next data version, {len(found.refused):,} do not"
    for one in found.refused:
        yield f"{one.id}: {one.reason}"
