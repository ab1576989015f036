"""`raypipe data explore`: a data version as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit
from raypipe.cli.versions import data_of
from raypipe.core.files import LOCAL_DISK, storage_errors


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(explore)


def explore(
    version: Annotated[
        str, typer.Argument(help="A data version, such as d-0123456789ab.", metavar="VERSION")
    ],
    config: ConfigArgument = DEFAULT_CONFIG,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; by default VERSION.html.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page about a data version: its sources, what was left out, a card a column, what stands out.

    One HTML file that opens in a browser without internet, made from the kept profile: no row is read.
    """
    page = data_of(config).explore(version).encode()
    file = out or Path(f"{version}.html")
    with storage_errors(file):
        LOCAL_DISK.make_folder(file.parent)
        LOCAL_DISK.write_atomic(file, page)
    emit(
        {"version": version, "file": str(file), "bytes": len(page)},
        as_json,
        lambda: [f"{file}: {len(page) / 1000:,.0f} kB; open it in a browser"],
    )
