"""`raypipe sources`: where rows come from, and how far each source was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened, say_error, table
from raypipe.core.ids import Json, canonical_json

if TYPE_CHECKING:
    from raypipe.data.sources.survey import Survey


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(sources)


def sources(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the sources: where each is, what lies there unread, how far it was read, what to count on."""
    from raypipe.data.sources.survey import survey

    pipeline, registry = opened(config)
    newest = next(iter(registry.data_versions(pipeline.name)), None)
    read = {one.source: one.position for one in newest.fragments} if newest else {}
    found = survey(pipeline.data, read)
    emit([one.to_json() for one in found], as_json, lambda: _lines(found))
    problems = [one.problem for one in found if one.problem]
    for problem in problems:
        say_error(problem)
    if problems:
        raise typer.Exit(1)


def _lines(found: Sequence[Survey]) -> Iterator[str]:
    header = ("source", "format", "kind", "pieces", "rows", "bytes", "position", "delivery", "at")
    yield from table(header, [_row(one) for one in found])
    yield ""
    for one in found:
        yield f"{one.name}: {one.delivery}, {one.because}"


def _row(one: Survey) -> tuple[str, ...]:
    extent = one.extent
    return (
        one.name,
        one.format,
        f"{one.kind}, joined" if one.is_joined else one.kind,
        *("?" if n is None else f"{n:,}" for n in (extent.n_pieces, extent.n_rows, extent.n_bytes)),
        _position(one.position),
        one.delivery,
        one.place,
    )


def _position(position: Json) -> str:
    return "" if position is None else canonical_json(position).decode()
