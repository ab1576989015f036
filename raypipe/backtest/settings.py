"""What a backtest plays, and beside what."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from raypipe.core.errors import ConfigError

MAX_LOOKS = 2_000
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DELAY = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(rows|looks|[smhd])?\s*$")


@dataclass(frozen=True)
class Delay:
    """How late labels come: by rows, by looks, or by seconds of the rows' own time."""

    amount: float = 0.0
    unit: Literal["rows", "looks", "s"] = "rows"

    @classmethod
    def read(cls, text: str) -> Delay:
        """Read such as `500 rows`, `4 looks`, `90s`, `30m`, `36h` or `7d`; raises ConfigError.

        >>> Delay.read("36h")
        Delay(amount=129600.0, unit='s')
        """
        found = _DELAY.match(text)
        if found is None:
            raise ConfigError(
                "the label delay of a backtest must be a number with rows, looks, s, m, h or d, such as "
                f"`500 rows` or `36h`. Got {text!r}."
            )
        amount, unit = float(found[1]), found[2] or "rows"
        if unit in _SECONDS:
            return cls(amount * _SECONDS[unit], "s")
        return cls(amount, "looks" if unit == "looks" else "rows")

    @property
    def text(self) -> str:
        """The delay as a person says it.

        >>> Delay(604_800, "s").text
        '7 d'
        """
        if self.unit != "s":
            return f"{self.amount:g} {self.unit}"
        fits = [name for name, seconds in _SECONDS.items() if self.amount % seconds == 0]
        unit = fits[-1] if fits and self.amount else "s"
        return f"{self.amount / _SECONDS[unit]:g} {unit}"


@dataclass(frozen=True)
class BacktestSettings:
    """What is history, how often one looks, how late labels come, and what stands beside the loop."""

    start: datetime | None = None
    """The first moment that is played; None for `share`."""
    share: float = 0.25
    """The share of the oldest rows that the first champion is learned from."""
    looks: int = 100
    """Into how many parts of equally many rows the newer ones are cut; the controller looks after each."""
    label_delay: Delay = Delay()
    every: tuple[int, ...] = (32, 16, 8, 4)
    """After how many looks periodic retrains come, a policy each."""
    naive: tuple[float, ...] = (1.25,)
    """From which multiple of the error at first on the naive trigger retrains, a policy each."""
    every_family: bool = False
    """Whether each fit tries all families of the config, and not only the one that won the first time."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(f"share of a backtest must be between 0 and 1. Got {self.share}.")
        if not 2 <= self.looks <= MAX_LOOKS:
            raise ConfigError(f"looks of a backtest must be from 2 to {MAX_LOOKS}. Got {self.looks}.")
        for period in self.every:
            if period < 1:
                raise ConfigError(f"every of a backtest must be >= 1 looks. Got {period}.")
        for ratio in self.naive:
            if not (math.isfinite(ratio) and ratio > 0):
                raise ConfigError(f"naive of a backtest must be a finite multiple > 0. Got {ratio}.")
