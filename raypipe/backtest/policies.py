"""The policies that stand beside the loop: they retrain without asking whether that helped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raypipe.backtest.settings import BacktestSettings

N_FIRST = 2
"""Over so many looks the naive trigger takes the error that it goes by."""


class Policy(Protocol):
    """Whatever says before a look's rows whether to learn anew."""

    @property
    def name(self) -> str: ...

    def is_due(self, look: int, errors: Sequence[float]) -> bool:
        """`look` counts from 0; `errors` are the mean losses of the looks whose labels are all known."""
        ...


@dataclass(frozen=True)
class Never:
    """The first champion for ever."""

    name: str = "never"

    def is_due(self, look: int, errors: Sequence[float]) -> bool:
        del look, errors
        return False


@dataclass(frozen=True)
class Every:
    """A retrain after so many looks, as a timer would have it, the first after `phase`, or a whole period."""

    period: int
    phase: int = 0

    @property
    def name(self) -> str:
        return f"every {self.period}" + (f" from {self.phase}" if self.phase else "")

    def is_due(self, look: int, errors: Sequence[float]) -> bool:
        del errors
        return look > 0 and look % self.period == self.phase


@dataclass(frozen=True)
class Naive:
    """A retrain whenever the newest error is a multiple of what it was at first."""

    ratio: float

    @property
    def name(self) -> str:
        return f"naive {self.ratio:g}"

    def is_due(self, look: int, errors: Sequence[float]) -> bool:
        del look
        if len(errors) <= N_FIRST:
            return False
        return errors[-1] > self.ratio * sum(errors[:N_FIRST]) / N_FIRST


def beside(settings: BacktestSettings) -> tuple[Policy, ...]:
    """Return the policies that stand beside the loop, `never` first."""
    return (Never(), *map(Every, settings.every), *map(Naive, settings.naive))
