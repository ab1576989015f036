"""`raypipe demo`: rows to try the loop on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raypipe.cli.output import JsonOption, emit

app = typer.Typer(help="Rows to try the loop on.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command("data")
def demo_data(
    folder: Annotated[Path, typer.Argument(help="Where to write the Parquet files.", metavar="DIR")],
    rows: Annotated[int, typer.Option(help="How many rows.", min=100)] = 20_000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write the loan applications of Agrawal, Imielinski and Swami (1993) as Parquet files."""
    from raypipe.data.synthetic import write_quickstart

    files = write_quickstart(folder, n_rows=rows, seed=seed)
    emit(
        {"folder": str(folder), "files": [str(file) for file in files], "rows": rows},
        as_json,
        lambda: [f"{rows:,} rows in {len(files)} files in {folder}"],
    )
