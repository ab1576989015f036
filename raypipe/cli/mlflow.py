"""`raypipe mlflow`: what MLflow is told, where the config names one."""

from __future__ import annotations

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened

app = typer.Typer(help="MLflow, which is told of runs and versions.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command("sync")
def sync(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Bring MLflow in step with the home: runs, trials, versions and aliases that it does not know yet.

    `run`, `promote` and `rollback` begin the same in the background; this waits, and says what it told.
    """
    from raypipe.core.errors import ConfigError
    from raypipe.tracking.beside import sync_now

    pipeline, registry = opened(config)
    settings = pipeline.registry.mlflow
    if settings is None:
        raise ConfigError("registry.mlflow must name the MLflow that is told. Got none.")
    done = sync_now(registry, pipeline.folder, settings.uri)
    said = (
        "another process is telling it"
        if done.is_busy
        else f"told of {done.n_versions} versions and {done.n_trials} trials; in step with entry {done.seq}"
    )
    emit(done.to_json(), as_json, lambda: [said])
