"""`raypipe demo replay`: recorded rows played as live traffic, and what the loop made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.moments import StartOption, moment
from raypipe.cli.output import ConfigArgument, JsonOption, emit, interruptible, table
from raypipe.cli.progress import shown

if TYPE_CHECKING:
    from raypipe.api.replay.plan import ReplaySettings
    from raypipe.api.replay.result import PlayedDecision, ReplayResult
    from raypipe.api.replay.scores import Line, Scores
    from raypipe.api.replay.start import BroughtUp
    from raypipe.stats.intervals import Interval


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(replay)


def replay(
    config: ConfigArgument,
    start: StartOption = None,
    share: Annotated[float, typer.Option(help="The share of the oldest rows that is history.")] = 0.5,
    rows_per_s: Annotated[float, typer.Option(help="Rows to play in a second.")] = 300.0,
    retraining_rows_per_s: Annotated[
        float, typer.Option(help="The same while a retrain is under way: a minute is months of event time.")
    ] = 10.0,
    rows_per_request: Annotated[int, typer.Option(help="Rows in a request.")] = 10,
    label_delay: Annotated[float, typer.Option(help="Seconds from an answer to its label.")] = 1.0,
    trials: Annotated[int, typer.Option(help="The most trials of a training.")] = 6,
    minutes: Annotated[float, typer.Option(help="The most minutes of a training's search.")] = 0.5,
    block_rows: Annotated[
        int | None, typer.Option(help="Rows in a block of the bootstrap; by default read off the rows.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn from the older rows of a config, play the newer ones as traffic, and watch the loop at work.

    The older rows are written out as the history of a pipeline of its own, NAME-replay, in the same home. Its
    live answers are scored beside its first champion, never retrained, and a constant.
    """
    from raypipe.api.replay.plan import ReplaySettings

    settings = ReplaySettings(
        start=None if start is None else moment(start),
        share=share,
        rows_per_s=rows_per_s,
        retraining_rows_per_s=retraining_rows_per_s,
        rows_per_request=rows_per_request,
        label_delay_s=label_delay,
        trials=trials,
        minutes=minutes,
        block_rows=block_rows,
    )
    _play(config, settings, as_json)


def _play(config: str, settings: ReplaySettings, as_json: bool) -> None:
    from raypipe.api.replay.play import Replay
    from raypipe.api.replay.start import bring_up
    from raypipe.config.load import load_config

    with interruptible():
        with shown() as progress:
            brought_up = bring_up(load_config(config), settings, progress)
        for line in _start_lines(brought_up, settings):
            typer.echo(line, err=True)
        parted = brought_up.parted
        played = Replay(
            brought_up.pipeline,
            parted.history,
            parted.played,
            settings,
            lambda line: typer.echo(line, err=True),
        )
        result = played.run()
    about = {
        "pipeline": brought_up.plan.config.name,
        "config": str(brought_up.file),
        "moment": parted.moment.isoformat(),
        "n_history": parted.history.num_rows,
        "speed": brought_up.plan.speed,
        "set": list(brought_up.plan.changes),
    }
    emit({**about, **result.to_json()}, as_json, lambda: _summary(brought_up, result))


def _start_lines(found: BroughtUp, settings: ReplaySettings) -> Iterator[str]:
    plan, parted = found.plan, found.parted
    delay_s = settings.label_delay_s
    n_old, n_new, moment = parted.history.num_rows, parted.played.num_rows, f"{parted.moment:%Y-%m-%d %H:%M}"
    yield (
        f"{plan.config.name} learned from {n_old:,} rows before {moment}; the {n_new:,} rows "
        f"from then on are played, {settings.rows_per_s:g} a second "
        f"and {settings.retraining_rows_per_s:g} while a retrain is under way"
    )
    yield (
        f"event time runs {plan.speed:,.0f} times as fast: labels come {delay_s:g} s late, which are "
        f"{delay_s * plan.speed / 3600:,.1f} hours; counts of labels stay as configured, waits shrink"
    )
    yield f"set in {found.file}:"
    yield from (f"  {line}" for line in plan.changes)


def _summary(found: BroughtUp, result: ReplayResult) -> Iterator[str]:
    yield from result_lines(result)
    yield ""
    yield f"`raypipe why VERSION {found.file}` shows a receipt; `raypipe down {found.file}` ends it all."


def result_lines(result: ReplayResult) -> Iterator[str]:
    """Yield what happened in a replay, as a person reads it."""
    n_rows, n_errors = result.n_rows, result.n_rows_refused
    yield f"rows: {n_rows:,} played in {result.played_s:,.0f} s, {n_errors} answered by an error"
    yield f"requests: {result.n_requests:,} sent, {result.n_failed} failed"
    yield f"versions: {', '.join(f'{name} {n:,} rows' for name, n in result.versions.items())}"
    yield ""
    yield from _decision_lines(result.decisions)
    yield ""
    yield "scores with 95% intervals by bootstrap over blocks of neighbours:"
    yield from (f"  {line}" for line in _score_lines(result.scores, result.first_champion))


def _decision_lines(decisions: tuple[PlayedDecision, ...]) -> Iterator[str]:
    header = (
        "retrain",
        "at row",
        "event time",
        "trigger",
        "made",
        "champion",
        "challenger",
        "gain",
        "ending",
        "s",
    )
    if not decisions:
        yield "no retrain was decided"
        return
    yield from table(header, [_decision_row(one) for one in decisions])


def _decision_row(one: PlayedDecision) -> tuple[str, ...]:
    receipt, gate = one.receipt, one.receipt.gate
    return (
        receipt.decision.rpartition("-")[2],
        str(one.at_row),
        f"{one.at:%Y-%m-%d}",
        receipt.trigger,
        f"{receipt.version} {receipt.family}" if receipt.version else "-",
        _number(gate.champion_score if gate else None),
        _number(gate.challenger_score if gate else None),
        "-" if one.gain is None else _interval(one.gain),
        receipt.ending,
        "-" if one.took_s is None else f"{one.took_s:.1f}",
    )


def _score_lines(scores: Scores, first: str) -> Iterator[str]:
    header = ("", "rows", "the loop", f"{first}, frozen", "constant", "loop over frozen")
    named = [(scores.whole.metric, scores.whole)]
    named += [(f"from {line.of[:10]}", line) for line in scores.quarters]
    named += [(f"by {line.of}", line) for line in scores.versions]
    named += [(line.metric, line) for line in scores.other_metrics]
    yield from table(header, [(name, str(line.n_rows), *_line(line)) for name, line in named])


def _line(line: Line) -> tuple[str, ...]:
    return tuple(_interval(one) for one in (line.loop, line.frozen, line.constant, line.gain))


def _interval(found: Interval) -> str:
    return f"{_number(found.value)} [{_number(found.low)}, {_number(found.high)}]"


def _number(value: float | None) -> str:
    """Spell a score; the digits that one model's answers differ by from batch to batch are left out."""
    return "-" if value is None else f"{round(value, 4) + 0.0:.4g}"
