"""`raypipe data erase`: the rows of people, from everything that is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, read_text
from raypipe.core.errors import ConfigError

if TYPE_CHECKING:
    from raypipe.data.erasure.erase import Erased

_BEYOND = (
    "not reached from here: source files, pages of `data explore` and other copies that were written "
    "elsewhere, backups, what a Ray that runs has in memory."
)


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(erase)


def erase(
    config: ConfigArgument = DEFAULT_CONFIG,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Whose rows: those with this value in this column.", metavar="COLUMN=VALUE"),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(help="A file of such keys, one a line; - for standard input.", metavar="FILE"),
    ] = None,
    prediction: Annotated[
        list[str] | None,
        typer.Option(help="The id of a captured prediction, which goes with its labels.", metavar="ID"),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why; kept with each version that held such rows. Name nobody in it.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Erase; without it, only say what would be erased.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase the rows of people by key, for good, and let none of theirs in any more.

    Data versions keep their ids and are marked; rows are taken from all of them, from the quarantine, and
    from captured predictions and labels. Models stay as they are, but for golden rows, which are replaced:
    those that learned from such rows are named. Give keys in a file or by standard input where a shell keeps
    its history.
    """
    from raypipe.cli.versions import data_of
    from raypipe.data.erasure.people import key_of, keys_in

    if yes and not reason:
        raise ConfigError("--yes needs a --reason, which is kept with each version that held such rows.")
    given = [*map(key_of, key or ()), *(keys_in(_text(keys)) if keys else ())]
    by_column: defaultdict[str, list[str]] = defaultdict(list)
    for one in given:
        by_column[one.column].append(one.value)
    found = data_of(config).erase(by_column, predictions=prediction or (), reason=reason, dry_run=not yes)
    emit(found.to_json(), as_json, lambda: _lines(found))


def _text(keys: str) -> str:
    try:
        return read_text(keys)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--keys cannot be read as a file of text: {error}.") from error


def _lines(found: Erased) -> Iterator[str]:
    counts = found.counts
    if counts.is_nothing:
        yield "no row has such a key: not in a data version, the quarantine, or what was captured."
        return
    done = "would be erased" if found.is_dry else "erased"
    for version, n_rows in counts.versions.items():
        yield f"{version}: {n_rows:,} rows {done}" if n_rows else f"{version}: of quarantined rows alone"
    yield (
        f"{done}: {counts.n_rows:,} rows of data versions, {counts.n_quarantined:,} quarantine entries, "
        f"{counts.n_predictions:,} captured predictions, {counts.n_labels:,} labels"
    )
    if found.n_damaged:
        yield f"{done}: {found.n_damaged:,} damaged segments of the log, as nobody can tell whose they are"
    yield from _model_lines(found)
    yield _BEYOND
    if found.is_dry:
        yield "nothing was erased; --yes --reason TEXT erases, and it cannot be undone."


def _model_lines(found: Erased) -> Iterator[str]:
    for model, files in found.models.items():
        yield f"{model} learned from such rows" + (f"; some are in its {', '.join(files)}" if files else "")
    if found.models:
        yield (
            "golden rows are replaced, otherwise models stay as they are: `raypipe run` learns one without "
            "those rows; once that is promoted, `raypipe models remove VERSION` deletes one that learned "
            "from them."
        )
