"""`raypipe lineage`: where an answer or a model version comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened

if TYPE_CHECKING:
    from raypipe.api.lineage import Lineage, Prediction


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(lineage)


def lineage(
    subject: Annotated[
        str, typer.Argument(help="The id of an answer, a model version or an alias.", metavar="ID")
    ],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what an answer or a version follows from, and ask the recorded version again."""
    from raypipe.api.lineage import lineage as trace

    found = trace(*opened(config), subject)
    emit(found.to_json(), as_json, lambda: _lines(found))
    if found.prediction is not None and found.prediction.rescored == "differs":
        raise typer.Exit(1)


def _lines(found: Lineage) -> Iterator[str]:
    if found.prediction is not None:
        yield from _prediction(found.prediction)
    yield f"version    {found.version}: {found.family}, made {found.created_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"           manifest {found.manifest_sha256}"
    n_rows = "no longer known" if found.source.n_rows is None else f"{found.source.n_rows:,} rows"
    yield f"data       {found.source.id}: {n_rows}, content {found.source.content}"
    yield f"run        {found.run}"
    params = ", ".join(f"{name} {value}" for name, value in sorted(found.params.items()))
    yield f"parameters {params or 'none'}"
    if found.code is None:
        yield "code       its files were removed"
    else:
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(found.code.frameworks.items()))
        yield f"code       {libraries}; settings {found.code.settings_sha256}"
    yield from _decided(found)


def _prediction(found: Prediction) -> Iterator[str]:
    label = "" if found.label is None else f", label {found.label}"
    yield f"answer     {found.prediction} to {found.inputs} at {found.at:%Y-%m-%d %H:%M:%S} UTC{label}"
    why = f": {found.why}" if found.why else ""
    yield f"           by {found.version} as {found.role}; asked again: {found.rescored}{why}"


def _decided(found: Lineage) -> Iterator[str]:
    if found.decision is None:
        yield "decision   none: it was made by hand"
    else:
        reason = f" ({found.decision.reason})" if found.decision.reason else ""
        yield f"decision   {found.decision.decision}, {found.decision.ending}{reason}"
        yield f"approver   {found.approver or 'nobody was asked'}"
    for one in found.releases:
        yield f"released   {one.changed_at:%Y-%m-%d %H:%M:%S} UTC, epoch {one.epoch}: {one.reason}"
