"""`raypipe score` and `raypipe export`: a version elsewhere than behind its endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from raypipe.cli.endpoint import ProducerConfigOption, sink_at
from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interruptible, opened, size
from raypipe.cli.progress import shown
from raypipe.serving.releases import CHAMPION

if TYPE_CHECKING:
    from raypipe.serving.batch.run import Scored
    from raypipe.serving.edge.export import Exported

InputArgument = Annotated[
    str,
    typer.Argument(
        help="A file, folder, glob or URL of Parquet, CSV or JSON lines; a Delta table; a database's URL.",
        metavar="INPUT",
    ),
]
ToOption = Annotated[
    str,
    typer.Option("--to", help="A folder, or a topic: kafka://HOST:PORT/TOPIC.", metavar="OUTPUT"),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A column to stand beside the answers; may be repeated.", metavar="COLUMN"),
]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (score, export):
        app.command()(command)


def score(
    config: ConfigArgument,
    input: InputArgument,
    to: ToOption,
    version: Annotated[
        str, typer.Option(help="A model version, or champion or challenger.", metavar="VERSION")
    ] = CHAMPION,
    keep: KeepOption = None,
    on: Annotated[
        Literal["auto", "local", "ray"],
        typer.Option(help="local: this process; ray: Ray Data; auto: by what is up and how much there is."),
    ] = "auto",
    format: Annotated[
        str | None, typer.Option(help="parquet, csv, jsonl, delta or sql, where INPUT does not show it.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table to read of a database.")] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT to read of a database.")] = None,
    cursor: Annotated[
        str | None, typer.Option(help="A column by whose order a database is read in pieces.")
    ] = None,
    producer_config: ProducerConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer all rows of a file, folder or table, with the numbers that the endpoint gives.

    Rows that the endpoint would refuse lie in OUTPUT/_rejected with the reason. Begun again after it was
    stopped, it scores only what is missing.
    """
    from raypipe.api.scoring import job_of, score_to_folder, score_to_sink
    from raypipe.serving.batch.places import Place

    pipeline, registry = opened(config)
    job = job_of(pipeline, registry, Place(input, format, table, query, cursor), version, keep or ())
    with interruptible(), shown() as progress:
        if "://" in to:
            done = score_to_sink(job, sink_at(to, producer_config), progress=progress)
        else:
            done = score_to_folder(pipeline, job, Path(to), on=on, progress=progress)
    emit(done.to_json(), as_json, lambda: _lines(done))


def _lines(done: Scored) -> Iterator[str]:
    yield f"{done.version} scored {done.n_scored:,} rows into {done.output}"
    if done.n_before:
        yield f"{done.n_before:,} of {len(done.parts):,} parts were there before"
    if done.n_removed:
        yield f"{done.n_removed:,} parts were removed: the input no longer holds what they scored"
    if done.n_rejected:
        where = "" if "://" in done.output else f": see {Path(done.output) / '_rejected'}"
        yield f"{done.n_rejected:,} rows were refused{where}"


def export(
    version: Annotated[
        str, typer.Argument(help="A model version, or champion or challenger.", metavar="VERSION")
    ],
    to: Annotated[str, typer.Option("--to", help="A new folder.", metavar="DIR")],
    config: ConfigArgument = DEFAULT_CONFIG,
    captured: Annotated[
        int, typer.Option(help="How many captured rows it must answer as the endpoint did, at most.", min=0)
    ] = 500,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Add the model, without the transform, as an ONNX graph.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a version as a folder that answers without Ray and without raypipe, proven on known rows."""
    from raypipe.api.exporting import export_version

    pipeline, registry = opened(config)
    with interruptible(), shown() as progress:
        done = export_version(
            pipeline, registry, version, Path(to), n_captured=captured, with_onnx=onnx, progress=progress
        )
    emit(done.to_json(), as_json, lambda: _export_lines(done))


def _export_lines(done: Exported) -> Iterator[str]:
    yield f"{done.version} is exported to {done.folder}, {size(done.n_bytes)}"
    for kind, checked in done.checked.items():
        n_answered = checked.n_exact + checked.n_close
        close = (
            f", {checked.n_close} of them by up to {checked.largest_difference:.1e} otherwise"
            if checked.n_close
            else ""
        )
        left_out = f", {checked.n_refused} are no requests any more" if checked.n_refused else ""
        yield f"{n_answered} of {checked.n_rows} {kind} rows are answered as before{close}{left_out}"
    if done.onnx is not None:
        far = f"{done.onnx.largest_difference:.1e}"
        yield f"model.onnx says the same of {done.onnx.n_rows} rows, within {far}"
    yield f"needs {', '.join(done.requirements)}"
    if done.code_of_yours:
        yield f"runs code that it does not hold: {', '.join(done.code_of_yours)}"
