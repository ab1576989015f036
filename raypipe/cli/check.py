"""`raypipe data check` and `raypipe contract suggest`: rows against rules, and rules out of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, table
from raypipe.cli.versions import data_of

if TYPE_CHECKING:
    from raypipe.data.checking import Findings

app = typer.Typer(help="The contract: what rows must be.", no_args_is_help=True)
SHOWN = 60


def add_to(app: typer.Typer) -> None:
    """Add the command that checks."""
    app.command()(check)


def check(
    config: ConfigArgument = DEFAULT_CONFIG,
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Files to check in place of what the sources hold.", metavar="PATHS"),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Check the rows of a data version instead.", metavar="VERSION")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which rules of the contract are broken, by how many rows, with examples; nothing is written.

    Ends with exit code 1 where a rule is broken. PATHS are read as the first source of files is.
    """
    from raypipe.api.contract import check as check_rows

    found = check_rows(data_of(config), paths or (), version)
    emit(found.to_json(), as_json, lambda: _lines(found))
    if found.broken:
        raise typer.Exit(1)


@app.command("suggest")
def suggest(
    config: ConfigArgument = DEFAULT_CONFIG,
    version: Annotated[
        str | None, typer.Option(help="A data version; by default the newest.", metavar="VERSION")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a contract from the profile of a data version: YAML to paste, and the evidence for each rule.

    All rows of the version keep it. It is a start for a person to edit, not a judgement.
    """
    from raypipe.api.contract import suggest as suggest_rules
    from raypipe.data.suggesting import to_yaml

    found = suggest_rules(data_of(config), version)
    emit(found.to_json(), as_json, lambda: to_yaml(found))


def _lines(found: Findings) -> Iterator[str]:
    yield f"{found.n_rows:,} rows: {found.n_bad:,} break the contract"
    if not found.broken:
        return
    yield ""
    rows = [(one.column, one.rule, one.action, f"{one.n_rows:,}") for one in found.broken]
    yield from table(("column", "rule", "action", "rows"), rows)
    for one in found.broken:
        for example in one.examples:
            yield ""
            yield f"{one.column} {one.rule}. Got {example.value}, in {example.piece}"
            if example.row:
                yield f"    {example.row}"
