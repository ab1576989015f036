"""How commands speak: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.core.clock import SystemClock
from raypipe.core.ids import Json

if TYPE_CHECKING:
    from raypipe.config.settings import Config
    from raypipe.registry.store import Registry
    from raypipe.stats.intervals import Interval

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ConfigArgument = Annotated[str, typer.Argument(help="The config file of the pipeline.", metavar="CONFIG")]
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
DEFAULT_CONFIG = "raypipe.yaml"


def emit(value: Json, as_json: bool, render: Callable[[], Iterable[str]]) -> None:
    """Print `value` as JSON, or the lines that `render` makes for a person."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
    else:
        for line in render():
            typer.echo(line)


def say_error(sentence: str) -> None:
    """Print one sentence to standard error."""
    typer.echo(f"raypipe: {sentence}", err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; columns whose cells all look like numbers align right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    for row in cells:
        line = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, right, strict=True)
        )
        yield "  ".join(line).rstrip()


def interval(found: Interval) -> str:
    """Return a value with the ends of its interval."""
    return f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]"


def size(n_bytes: int | None) -> str:
    """Return a number of bytes in the unit that suits it; empty where it is not known."""
    if n_bytes is None:
        return ""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if n_bytes >= scale), (1, "B"))
    return f"{n_bytes / scale:.3g} {unit}"


def opened(config: str) -> tuple[Config, Registry]:
    """Load a config and open the registry of its home; reads only what both need."""
    from raypipe.config.load import load_config
    from raypipe.registry.store import Registry

    loaded = load_config(config)
    return loaded, Registry(loaded.root.registry_url, SystemClock())


@contextmanager
def interruptible() -> Iterator[None]:
    """Say what Ctrl-C leaves behind, then let it end the process with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        say_error("stopped; what was finished is kept, nothing is half-written.")
        raise


def read_text(path: str) -> str:
    """Return a file's text, or standard input's for `-`."""
    if path == "-":
        return sys.stdin.read()
    return Path(path).read_text(encoding="utf-8")


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or (cell[:1] in "-+" and cell[1:2].isdigit()) or cell in ("", "-")
