"""`raypipe models gc`, `remove`, `pin` and `unpin`: which model versions are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, size

if TYPE_CHECKING:
    from raypipe.api.models import PipelineModels
    from raypipe.registry.retention import RemovedModels

VersionArgument = Annotated[str, typer.Argument(help="A model version, such as v1.", metavar="VERSION")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (gc, remove, pin, unpin):
        app.command()(command)


def gc(
    config: ConfigArgument = DEFAULT_CONFIG,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the model versions that registry.retention does not keep, with all their files.

    The newest version stays, and so do those that an alias names, that are pinned, that serve, wait for a
    verdict, or that a rollback would go back to.
    """
    found = models_of(config).collect_garbage(dry_run=dry_run)
    emit(found.to_json(), as_json, lambda: _lines(found))


def remove(
    version: VersionArgument,
    config: ConfigArgument = DEFAULT_CONFIG,
    reason: Annotated[str, typer.Option(help="Why; kept with the version in the log.")] = "",
    no_way_back: Annotated[
        bool, typer.Option("--no-way-back", help="Also where a rollback would go back to it.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove; without it, only say what would be removed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a model version with all its files, for good; it stays in the log as removed.

    One that is refused: named by an alias, pinned, serving, waiting for a verdict, or the way back.
    """
    found = models_of(config).remove(version, reason=reason, no_way_back=no_way_back, dry_run=not yes)
    emit(found.to_json(), as_json, lambda: _removed_lines(found))


def pin(
    version: VersionArgument,
    config: ConfigArgument = DEFAULT_CONFIG,
    note: Annotated[str, typer.Option(help="Why it must stay.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Keep a model version from being removed, by whom- and whatever."""
    models_of(config).pin(version, note)
    emit({"version": version, "pin": note}, as_json, lambda: iter((f"{version} is pinned",)))


def unpin(
    version: VersionArgument, config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Take a model version's pin away."""
    models_of(config).unpin(version)
    emit({"version": version, "pin": None}, as_json, lambda: iter((f"{version} is not pinned any more",)))


def models_of(config: str) -> PipelineModels:
    """Return the model versions of the pipeline that a config describes."""
    from raypipe.api.pipeline import load
    from raypipe.cli.progress import shown

    with shown() as progress:
        return load(config, progress=progress).models


def _removed_lines(found: RemovedModels) -> Iterator[str]:
    yield from _lines(found)
    if found.is_dry:
        yield "nothing was removed; --yes removes, and it cannot be undone."


def _lines(found: RemovedModels) -> Iterator[str]:
    would = "would be " if found.is_dry else ""
    for version in found.removed:
        yield f"{version} {would}removed"
    for one in found.kept:
        yield f"{one.id} stays: {one.why}"
    yield f"{would}deleted: {found.n_files:,} files, {size(found.n_bytes)}"
