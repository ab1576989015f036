"""`raypipe`: the commands gathered, and what becomes of their errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from raypipe.cli import (
    backtest,
    check,
    data,
    decisions,
    demo,
    doctor,
    endpoint,
    ingest,
    lineage,
    mlflow,
    models,
    project,
    quarantine,
    reproduce,
    score,
    sources,
    submit,
    work,
)
from raypipe.cli.output import say_error
from raypipe.core.errors import RaypipeError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="raypipe",
    help="Data, training, serving and retraining of a model, as one loop on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (
    project,
    sources,
    ingest,
    work,
    submit,
    endpoint,
    score,
    decisions,
    lineage,
    reproduce,
    backtest,
    doctor,
):
    commands.add_to(app)
app.add_typer(data.app, name="data")
app.add_typer(check.app, name="contract")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(models.app, name="models")
app.add_typer(mlflow.app, name="mlflow")
app.add_typer(demo.app, name="demo")


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error came from.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run one command and end the process: 0 success, 1 failure, 2 wrong usage or config."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        say_error(sentence_of(error))
        sys.exit(error.exit_code if isinstance(error, RaypipeError) else EXIT_FAILURE)


def sentence_of(error: Exception) -> str:
    """Return what a person is told: our own errors speak for themselves, others name their kind."""
    text = " ".join(str(error).split())
    if isinstance(error, RaypipeError):
        return text
    kind = type(error).__name__
    return f"unexpected {kind}: {text or 'no text'}; `raypipe --debug ...` shows where it came from."
