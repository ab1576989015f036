"""`raypipe ingest`: rows from the sources into a data version, once or again and again."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interruptible
from raypipe.cli.progress import shown
from raypipe.core.errors import ConfigError
from raypipe.core.progress import Progress
from raypipe.data.versions import DataVersion

if TYPE_CHECKING:
    from raypipe.api.pipeline import Pipeline

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(ingest)


def ingest(
    config: ConfigArgument = DEFAULT_CONFIG,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until ended, as micro-batches with what is new.")
    ] = False,
    every: Annotated[
        str, typer.Option(help="How long to wait between two looks at the sources.", metavar="TIME")
    ] = "10s",
    max_batches: Annotated[
        int | None, typer.Option(min=1, help="With --follow: end after so many batches that brought rows.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read what is new at the sources into a data version; what is known is not read again."""
    every_s = seconds("--every", every)
    with interruptible(), shown() as progress:
        if follow:
            version = _followed(config, every_s, max_batches, progress)
        else:
            version = _pipeline(config, progress).ingest()
    emit(version.to_json() if version else None, as_json, lambda: _lines(version))


def seconds(option: str, text: str) -> float:
    """Return a length of time such as `10s`, `5m` or `500ms` in seconds; raises ConfigError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} must be a time such as 10s, 5m or 500ms. Got {text!r}.")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def _followed(config: str, every_s: float, max_batches: int | None, progress: Progress) -> DataVersion | None:
    from raypipe.data.follow import follow, only_follower

    pipeline = _pipeline(config, progress)
    with only_follower(pipeline.config.folder), _until_signalled() as stop:
        newest = _newest(pipeline)
        follow(
            pipeline.ingest,
            stop,
            newest=newest.id if newest else None,
            every_s=every_s,
            max_batches=max_batches,
            progress=progress,
        )
    return _newest(pipeline)


def _pipeline(config: str, progress: Progress) -> Pipeline:
    from raypipe.api.pipeline import load

    return load(config, progress=progress)


def _newest(pipeline: Pipeline) -> DataVersion | None:
    return next(iter(pipeline.registry.data_versions(pipeline.config.name)), None)


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """Yield what is set by the first SIGINT or SIGTERM; a second one ends the process as ever."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(_: int, __: FrameType | None) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _lines(version: DataVersion | None) -> Iterator[str]:
    if version is None:
        yield "nothing was ingested yet."
        return
    n_pieces = version.n_read + version.n_known
    yield f"{version.id}: {version.n_rows:,} rows; {version.n_read:,} of {n_pieces:,} fragments read for it"
