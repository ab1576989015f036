"""A family of models that races against others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from raypipe.core.errors import ConfigError
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

ParamValue: TypeAlias = "str | int | float | bool"
Params: TypeAlias = "Mapping[str, ParamValue]"


class Suggestions(Protocol):
    """Whatever proposes values, such as an optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[ParamValue]) -> ParamValue: ...


@dataclass(frozen=True)
class Real:
    """A parameter that is a number in [low, high]."""

    name: str
    default: float
    low: float
    high: float
    log: bool = False

    def suggested(self, trial: Suggestions, prefix: str) -> ParamValue:
        return trial.suggest_float(prefix + self.name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Whole:
    """A parameter that is a whole number in [low, high]."""

    name: str
    default: int
    low: int
    high: int
    log: bool = False

    def suggested(self, trial: Suggestions, prefix: str) -> ParamValue:
        return trial.suggest_int(prefix + self.name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """A parameter that is one of some words or numbers."""

    name: str
    default: ParamValue
    choices: tuple[ParamValue, ...]

    def suggested(self, trial: Suggestions, prefix: str) -> ParamValue:
        return trial.suggest_categorical(prefix + self.name, self.choices)


Parameter: TypeAlias = "Real | Whole | Choice"


@dataclass(frozen=True)
class Terms:
    """What a training run is given beside its data."""

    n_rungs: int
    """Into how many equal parts the training is cut."""
    seed: int
    n_threads: int
    gpu: bool = False


class Family(Protocol):
    """A way to learn; one Python module each, so that a trial imports only its own library."""

    @property
    def name(self) -> str:
        """The name in the config and on the leaderboard."""
        ...

    @property
    def in_parts(self) -> bool:
        """Whether it yields after each rung, and so can be stopped early; otherwise there is one rung."""
        ...

    def space(self, task: Task, /) -> tuple[Parameter, ...]:
        """Return what can be tuned, each with the default that is tried first."""
        ...

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        """Train part by part and yield (rung, model so far) after each, rungs counting from 1.

        The yielded model may change when training goes on: score or save it before asking for the next.
        Looks at the training rows only.
        """
        ...


@runtime_checkable
class Continuing(Family, Protocol):
    """A family that can go on training a model of its own, on other rows."""

    def cannot_continue(self) -> str | None:
        """Return why the family as it is configured cannot; None where it can."""
        ...

    def train_on(
        self, model: Model, params: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Do what `train` does from a model on, which was trained with these parameters; it may change."""
        ...


def family_of(name: str) -> Family:
    """Return a family by name; imports its module, and its library only when it trains."""
    match name:
        case "linear":
            from raypipe.training.families.linear import LinearFamily

            return LinearFamily()
        case "xgboost":
            from raypipe.training.families.xgboost_trees import XgboostFamily

            return XgboostFamily()
        case "torch":
            from raypipe.training.families.torch_mlp import TorchMlpFamily

            return TorchMlpFamily()
        case _ if name == BASELINE:
            from raypipe.training.families.baseline import BaselineFamily

            return BaselineFamily()
        case _:
            raise ConfigError(
                f"training.families must be chosen from linear, xgboost and torch. Got {name!r}."
            )
