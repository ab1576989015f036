"""`raypipe backtest`: what a policy of retraining would have cost and gained on recorded rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.moments import StartOption, moment
from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interruptible, table
from raypipe.cli.progress import shown
from raypipe.core.files import LOCAL_DISK, storage_errors

if TYPE_CHECKING:
    from raypipe.backtest.result import BacktestResult, Decision
    from raypipe.backtest.settings import BacktestSettings


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(backtest)


def backtest(
    config: ConfigArgument = DEFAULT_CONFIG,
    start: StartOption = None,
    share: Annotated[float, typer.Option(help="The share of the oldest rows that is history.")] = 0.25,
    looks: Annotated[int, typer.Option(help="How often the controller looks, at equally many rows.")] = 100,
    label_delay: Annotated[
        str, typer.Option(help="How late labels come: `500 rows`, `4 looks`, `90s`, `30m`, `36h`, `7d`.")
    ] = "0 rows",
    every: Annotated[
        list[int] | None, typer.Option(help="Looks between periodic retrains; 32, 16, 8 and 4 by default.")
    ] = None,
    naive: Annotated[
        list[float] | None,
        typer.Option(help="The multiple of the error at first that retrains; 1.25 by default."),
    ] = None,
    every_family: Annotated[
        bool, typer.Option("--every-family", help="Try all families of the config in each fit.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a page with a plot and all decisions.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play the newer rows of a config offline, and price its policy of retraining beside others.

    The rows are played in their own time, through the triggers, the monitoring and the gate of the living
    loop; beside it stand never to retrain, periodic retrains, and one whenever the error is a multiple of
    what it was at first. Needs no Ray and no endpoint, and registers nothing. Unlike the living loop each fit
    tries the family that won first, at its defaults; a retrain takes none of the rows' time; nobody is asked
    to approve; shadow and canary, and the gate's latency and size, are left out.
    """
    from raypipe.backtest.settings import BacktestSettings, Delay

    usual = BacktestSettings()
    settings = BacktestSettings(
        start=None if start is None else moment(start),
        share=share,
        looks=looks,
        label_delay=Delay.read(label_delay),
        every=tuple(dict.fromkeys(every)) if every else usual.every,
        naive=tuple(dict.fromkeys(naive)) if naive else usual.naive,
        every_family=every_family,
    )
    _play(config, settings, out, as_json)


def _play(config: str, settings: BacktestSettings, out: Path | None, as_json: bool) -> None:
    from raypipe.api.pipeline import load
    from raypipe.backtest.page import render

    with interruptible(), shown() as progress:
        found = load(config, progress=progress).backtest(settings)
    if out is not None:
        with storage_errors(out):
            LOCAL_DISK.make_folder(out.parent)
            LOCAL_DISK.write_atomic(out, render(found).encode())
    emit(found.to_json(), as_json, lambda: _lines(found, out))


def _lines(found: BacktestResult, out: Path | None) -> Iterator[str]:
    from raypipe.backtest.page import spelled

    yield (
        f"{found.n_rows:,} rows of {found.data_version} from {found.starts_at:%Y-%m-%d %H:%M} on, in "
        f"{found.n_looks} looks; labels come {found.label_delay} late; the first champion "
        f"({found.first_family}) learned from the {found.n_history:,} rows before"
    )
    yield ""
    header = ("policy", "fits", "released", found.metric, "better than never", "CPU s", "cost")
    yield from table(
        header,
        [
            (
                one.name,
                str(one.n_fits),
                str(one.n_released),
                spelled(one.score),
                spelled(one.over_never),
                f"{one.cpu_s:.1f}",
                "-" if one.cost is None else f"{one.cost:,.0f}",
            )
            for one in found.policies
        ],
    )
    yield ""
    for policy in found.policies:
        yield from _decision_lines(policy.decisions)
    if out is not None:
        yield f"{out}: a page with the plot; open it in a browser"


def _decision_lines(decisions: tuple[Decision, ...]) -> Iterator[str]:
    from raypipe.backtest.page import spelled

    if not decisions:
        return
    header = ("decided", "trigger", "made", "judged by", "gain", "ending")
    yield from table(
        header,
        [
            (
                f"{one.at:%Y-%m-%d %H:%M}",
                one.trigger,
                f"{one.version} {one.family}" if one.version else "-",
                f"{one.n_judged:,}",
                "-" if one.gain is None else spelled(one.gain),
                one.ending if one.version else f"{one.ending}: {one.reason}",
            )
            for one in decisions
        ],
    )
    yield ""
