"""Progress in the terminal: a bar a stage where a person watches, a line a step where a log does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from raypipe.core.progress import Progress, Step, silent


class Lines:
    """One line a step, with the seconds since the start; to standard error, so that output stays clean."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._start = timer()

    def __call__(self, step: Step) -> None:
        share = "" if step.done_ratio is None else f" ({step.done_ratio:.0%})"
        typer.echo(f"{self._timer() - self._start:6.1f} s  {step.stage:<9}  {step.message}{share}", err=True)


@contextmanager
def shown(quiet: bool = False) -> Iterator[Progress]:
    """Yield what shows progress until the block ends."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield Lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Bars:
    """A bar for the stage in progress; the bars of finished stages stay above it, full."""

    def __init__(self, bars: object) -> None:
        from rich.progress import Progress as Bars

        assert isinstance(bars, Bars)
        self._bars = bars
        self._stage = ""
        self._task = bars.add_task("", total=None, visible=False, note="")

    def __call__(self, step: Step) -> None:
        if step.stage != self._stage:
            self._finish()
            self._stage = step.stage
            self._task = self._bars.add_task(step.stage, total=None, note="")
        total = None if step.done_ratio is None else 1.0
        self._bars.update(self._task, completed=step.done_ratio or 0.0, total=total, note=step.message)

    def _finish(self) -> None:
        self._bars.update(self._task, total=1.0, completed=1.0)
        self._bars.stop_task(self._task)
