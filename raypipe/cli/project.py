"""`raypipe init`: a project to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from raypipe.cli.output import JsonOption, emit
from raypipe.core.errors import ConfigError
from raypipe.core.files import storage_errors

TEMPLATES = ("raypipe.yaml", "README.md")


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    as_json: JsonOption = False,
) -> None:
    """Write a project that runs: a config, example rows, and what to do next."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"DIR must be a new or empty folder. Got {folder}, which holds something already.")
    from raypipe.data.synthetic import write_quickstart

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in TEMPLATES:
            (folder / name).write_text(_template(name), encoding="utf-8")
        write_quickstart(folder / "data", n_rows=20_000, seed=0)
    config = folder / "raypipe.yaml"
    emit(
        {"folder": str(folder), "config": str(config)},
        as_json,
        lambda: [f"{folder} is ready. Next: raypipe up {config}"],
    )


def _template(name: str) -> str:
    return (resources.files("raypipe.cli") / "templates" / name).read_text(encoding="utf-8")
