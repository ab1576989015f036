"""`raypipe retrain`, `approve`, `reject`, `why`, `watch`: decisions, and a person's word in them."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened
from raypipe.cli.signals import outlook_lines, window_lines
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ConfigError, UnknownVersion

if TYPE_CHECKING:
    from raypipe.control.nearness import Outlook
    from raypipe.core.ids import Json
    from raypipe.monitoring.report import WindowReport

WATCH_INTERVAL_S = 1.0
VersionArgument = Annotated[str, typer.Argument(help="A model version, such as v2.", metavar="VERSION")]
ACTION_HELP = (
    "retrain: search for parameters; refit: the champion's parameters on the rows of now; "
    "continue: go on training its model on new rows; rollback: judge the champion before it."
)
NoteOption = Annotated[str, typer.Option(help="Why, for the history.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (retrain, approve, reject, why, watch):
        app.command()(command)


def retrain(
    config: ConfigArgument = DEFAULT_CONFIG,
    action: Annotated[str, typer.Option(help=ACTION_HELP, metavar="ACTION")] = "retrain",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the controller for a retrain on the labelled live traffic, or for less."""
    from raypipe.control.people import request_retrain
    from raypipe.policy.config import RetrainAction

    pipeline, registry = opened(config)
    if action not in get_args(RetrainAction):
        raise ConfigError(f"--action must be one of {', '.join(get_args(RetrainAction))}. Got {action!r}.")
    wanted = cast("RetrainAction", action)
    request_retrain(registry, pipeline.name, SystemClock(), by=getpass.getuser(), note=note, action=wanted)
    emit(
        {"requested": True, "action": wanted},
        as_json,
        lambda: ["asked; `raypipe status` shows what becomes of it."],
    )


def approve(
    version: VersionArgument,
    config: ConfigArgument = DEFAULT_CONFIG,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a challenger that passed its gate, or whose gate waits for labels, become the champion."""
    _answer(version, config, note, as_json, approved=True)


def reject(
    version: VersionArgument,
    config: ConfigArgument = DEFAULT_CONFIG,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Decide against a challenger; the champion stays."""
    _answer(version, config, note, as_json, approved=False)


def why(
    subject: Annotated[str, typer.Argument(help="A model version or a decision.", metavar="VERSION")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the receipt of a retrain: why, on what evidence, at what cost, and how it ended."""
    from raypipe.control.ledger import read_facts
    from raypipe.control.receipts import find, receipts, render

    pipeline, registry = opened(config)
    facts = [fact for _, fact in read_facts(registry, pipeline.name)]
    receipt = find(receipts(facts, pipeline.name), subject)
    if receipt is None:
        raise UnknownVersion(
            f"no retrain of {pipeline.name} made {subject!r}; versions of `raypipe run` have no receipt, "
            "and `raypipe history` tells of them."
        )
    emit(receipt.to_json(), as_json, lambda: render(receipt))


def watch(
    config: ConfigArgument = DEFAULT_CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Show what is so now, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Follow what is measured and estimated of live traffic, and what would trigger next, until Ctrl-C."""
    from raypipe.control.nearness import outlook
    from raypipe.control.people import read_state
    from raypipe.control.traffic import read_window

    pipeline, registry = opened(config)
    shown: WindowReport | None = None
    while True:
        window = read_window(pipeline.folder)
        if window is not None and window != shown:
            state = read_state(registry, pipeline.name)
            found = outlook(state, window, pipeline.retraining, SystemClock().now())
            told = cast("dict[str, Json]", window.to_json()) | {"outlook": found.to_json()}
            emit(told, as_json, partial(_told, window, found))
            shown = window
        if once:
            if window is None:
                emit(None, as_json, lambda: ["nothing was measured yet; is a controller running?"])
            return
        time.sleep(WATCH_INTERVAL_S)


def _told(window: WindowReport, found: Outlook) -> Iterator[str]:
    yield from window_lines(window)
    yield from outlook_lines(found)


def _answer(version: str, config: str, note: str, as_json: bool, *, approved: bool) -> None:
    from raypipe.control.people import answer

    pipeline, registry = opened(config)
    by, clock = getpass.getuser(), SystemClock()
    answer(registry, pipeline.name, clock, version, approved=approved, by=by, note=note)
    word = "approved" if approved else "rejected"
    emit({"version": version, word: True}, as_json, lambda: [f"{version} is {word}."])
