"""`raypipe doctor`: will it run here, and did the settings take effect?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import JsonOption, emit

if TYPE_CHECKING:
    from raypipe.runtime.doctor import Check


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("doctor")(doctor)


def doctor(
    config: Annotated[
        str | None,
        typer.Argument(help="The config file whose home and ports to look at.", metavar="[CONFIG]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, the home, and the Ray that runs; exit code 1 where something must be mended."""
    from raypipe.config.load import load_config
    from raypipe.config.settings import DEFAULT_HOME
    from raypipe.core.home import Home
    from raypipe.runtime.doctor import examine
    from raypipe.serving.config import ServingSettings

    loaded = load_config(config) if config else None
    home = loaded.root if loaded else Home(Path(DEFAULT_HOME).expanduser())
    checks = examine(home, loaded.serving if loaded else ServingSettings())
    emit([check.to_json() for check in checks], as_json, lambda: _lines(checks))
    if not all(check.ok for check in checks):
        sys.exit(1)


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"{'ok  ' if check.ok else 'MEND'}  {check.name}: {check.detail}"
        if not check.ok:
            yield f"      {check.advice}"
