"""`raypipe models import`: a model file that was made elsewhere, as a version like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interval

if TYPE_CHECKING:
    from raypipe.registry.values import ModelVersion


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command("import")(import_model)


def import_model(
    file: Annotated[
        str,
        typer.Argument(
            help="XGBoost .ubj or .json, .skops, .safetensors or .onnx.",
            metavar="FILE",
        ),
    ],
    schema: Annotated[
        str, typer.Option(help="YAML: features in the model's order, and classes.", metavar="SCHEMA")
    ],
    config: ConfigArgument = DEFAULT_CONFIG,
    data: Annotated[
        str | None, typer.Option(help="The data version to judge it on; by default the newest.", metavar="ID")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register a model file as a version: read as data, judged on test rows, given golden rows and a card.

    The schema lists the features: `amount`, `{column: size, fill: 0}`, `{column: colour, values: [blue,
    red]}`, and for a classification `classes` in the model's order; `network: module:Class` says whose
    weights a file of safetensors holds. Nothing is promoted.
    """
    from raypipe.cli.removal import models_of

    made = models_of(config).import_file(Path(file), Path(schema), data=data)
    emit({"version": made.version, "run": made.run, "metrics": made.metrics}, as_json, lambda: _lines(made))


def _lines(made: ModelVersion) -> Iterator[str]:
    from raypipe.training.leaderboard import Leaderboard

    board = Leaderboard.from_json(made.metrics)
    yield f"{made.version}: {made.family}, kept as {made.format}, judged on {made.data_version}"
    yield f"test {board.metric} {interval(board.best.test)} on {board.n_test_rows:,} rows"
    yield "what it was trained on is not known: these rows may have been among it."
    yield f"`raypipe promote {made.version}` makes it the champion."
