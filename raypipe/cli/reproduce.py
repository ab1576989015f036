"""`raypipe reproduce`: a version learned anew, beside the one that is registered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interruptible, opened

if TYPE_CHECKING:
    from raypipe.api.reproduce import Answered, Reproduced


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(reproduce)


def reproduce(
    version: Annotated[str, typer.Argument(help="A model version or an alias.", metavar="VERSION")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Learn a version anew from what is recorded, without a search, and compare; 1 if it differs."""
    from raypipe.api.reproduce import reproduce as learn_anew

    with interruptible():
        found = learn_anew(*opened(config), version)
    emit(found.to_json(), as_json, lambda: _lines(found))
    if found.likeness == "differs":
        raise typer.Exit(1)


def _lines(found: Reproduced) -> Iterator[str]:
    said = {
        "equal files": "the same files",
        "equal answers": "other files, the same answers to the bit",
        "differs": f"another model: answers differ by {_largest(found):.3g} at most",
    }
    yield f"{found.version} learned anew: {said[found.likeness]}"
    yield f"data       {found.data_version}: {found.n_rows:,} rows, as they were collected"
    params = ", ".join(f"{name} {value}" for name, value in sorted(found.params.items()))
    threads = f"{found.n_threads} thread{'s' if found.n_threads > 1 else ''}"
    yield f"trained    {found.family}: {params or 'no parameters'}; seed {found.seed}, {threads}"
    for name, is_equal in found.files.items():
        yield f"file       {name}: {'equal' if is_equal else 'differs'}"
    yield f"golden     {_answered(found.golden)}"
    yield f"captured   {_answered(found.captured)}"
    if not found.differences:
        yield "code       libraries and code as recorded"
    for one in found.differences:
        yield f"code       {one.what}: {one.recorded or 'none'} was recorded, {one.here or 'none'} is here"


def _largest(found: Reproduced) -> float:
    return max(found.golden.largest_difference, found.captured.largest_difference)


def _answered(found: Answered) -> str:
    if not found.n_rows:
        return "no rows"
    refused = f", {found.n_refused} refused" if found.n_refused else ""
    said = (
        "equal to the bit" if found.is_equal else f"differ by {found.largest_difference:.3g} at most{refused}"
    )
    return f"{found.n_rows:,} rows: {said}"
