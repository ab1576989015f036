"""What a run trains where it searches for nothing: a family with its parameters, perhaps from a model on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ConfigError
from raypipe.core.ids import Json
from raypipe.training.family import Family, ParamValue, family_of
from raypipe.training.search import FAMILY, asked, defaults

if TYPE_CHECKING:
    from raypipe.training.config import TrainingSettings
    from raypipe.training.task import Task

_OURS = ("linear", "xgboost", "torch")


@dataclass(frozen=True)
class Start:
    """The files of a model that training goes on from."""

    version: str
    folder: Path
    format: str


@dataclass(frozen=True)
class Recipe:
    """One trial in the place of a search."""

    family: str
    params: Mapping[str, ParamValue]
    start: Start | None = None

    def to_json(self) -> Json:
        start = None if self.start is None else self.start.version
        return {"family": self.family, "params": dict(self.params), "start": start}

    def trial(self, family: Family, task: Task) -> dict[str, ParamValue]:
        """Return the trial as the search would have asked for it; what a parameter lacks is its default."""
        return {FAMILY: self.family, **asked(self.family, {**defaults(family, task), **self.params})}

    def family_in(self, families: Mapping[str, Family]) -> Family:
        """Return the family, of those that race or of raypipe's own; raises ConfigError where it is gone."""
        if self.family in families:
            return families[self.family]
        if self.family in _OURS:
            return family_of(self.family)
        raise ConfigError(cannot_refit(self.family))


def recipe_of(family: str, params: Mapping[str, Json], settings: TrainingSettings) -> Recipe | None:
    """Return what trains a version's family once more; None where that is not to be had any more."""
    if family not in (*_OURS, *settings.models):
        return None
    plain = {name: value for name, value in params.items() if isinstance(value, str | int | float | bool)}
    return Recipe(family, plain)


def cannot_refit(family: str) -> str:
    """Return why a version of a family is not fitted anew."""
    return f"the champion's family {family} is none of training.models, so the families of the config raced"
