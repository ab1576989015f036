"""`raypipe demo`: rows to try the loop on, and traffic that closes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import replay
from raypipe.cli.output import ConfigArgument, JsonOption, emit, opened

if TYPE_CHECKING:
    from raypipe.api.drift_demo import DemoResult

app = typer.Typer(help="Rows to try the loop on, and traffic that closes it.", no_args_is_help=True)
replay.add_to(app)


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


@app.command("drift")
def drift(
    config: ConfigArgument = "configs/quickstart.yaml",
    after: Annotated[int, typer.Option(help="The concept after the change, 1 to 10.", min=1, max=10)] = 3,
    seconds: Annotated[float, typer.Option(help="Healthy traffic before the change.", min=5)] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Play live traffic whose concept changes, and watch the loop notice, retrain, judge and redeploy."""
    from raypipe.api.drift_demo import DemoSettings, DriftDemo

    pipeline, registry = opened(config)
    settings = DemoSettings(after=after, healthy_s=seconds)
    result = DriftDemo(pipeline, registry, settings, lambda line: typer.echo(line, err=True)).run()
    emit(result.to_json(), as_json, lambda: _summary(result))


def _summary(result: DemoResult) -> list[str]:
    return [
        f"requests: {result.n_requests:,} sent, {result.n_failed} failed",
        f"rows from the change to the decision: {_or_none(result.n_rows_to_trigger)}",
        f"seconds from the decision to the new champion: {_or_none(result.trigger_to_champion_s)}",
        f"share of right answers: before {_or_none(result.accuracy_before)}, from the change to the new "
        f"champion {_or_none(result.accuracy_during)}, after {_or_none(result.accuracy_after)}",
        f"decisions: {', '.join(result.decisions) or 'none'}; `raypipe why DECISION` shows the receipt",
    ]


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
