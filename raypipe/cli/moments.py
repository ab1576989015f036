"""Moments of recorded rows, as commands take them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from raypipe.core.errors import ConfigError

StartOption = Annotated[
    str | None,
    typer.Option("--from", help="The first moment to play, as ISO 8601; instead of --share.", metavar="TIME"),
]


def moment(text: str) -> datetime:
    """Read the time of `--from`; raises ConfigError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--from must be a time such as 2012-01-01T00:00:00Z. Got {text!r}.") from None
