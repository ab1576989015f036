"""What `training.models` says of a model of the user's own."""

from __future__ import annotations

import math
from typing import Annotated, Self, TypeAlias

from pydantic import Field, JsonValue, field_validator, model_validator

from raypipe.core.settings import ImportPath, Settings
from raypipe.training.family import Choice, Parameter, ParamValue, Real, Whole

ModelName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""How a model is called on the leaderboard."""


class Range(Settings):
    """A number that is searched between two ends; whole where both ends are."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether each factor counts alike, and not each difference."""
    default: int | float | None = None
    """What is tried first; none takes the middle."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            rule = "0 < low < high where log is set" if self.log else "low < high"
            raise ValueError(f"a range must have {rule}. Got low {self.low} and high {self.high}")
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(f"default must lie between low and high. Got {self.default}")
        return self

    def parameter(self, name: str) -> Parameter:
        """Return the range as the search asks for it."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        first = middle if self.default is None else self.default
        if isinstance(self.low, int) and isinstance(self.high, int):
            return Whole(name, round(first), self.low, self.high, self.log)
        return Real(name, float(first), float(self.low), float(self.high), self.log)


class SaverPaths(Settings):
    """Two functions of your own that keep a fitted model: as data, and never as a pickle."""

    save: ImportPath
    """Called with the model and a folder, into which it writes files."""
    load: ImportPath
    """Called with such a folder; returns the model."""


Choices: TypeAlias = Annotated[tuple[ParamValue, ...], Field(min_length=1)]


class OwnModel(Settings):
    """A model of your own in the race: exactly one of `estimator`, `function` and `network`."""

    estimator: ImportPath | None = None
    """A class or a factory, called with the parameters, or an object; it has `fit` and `predict`, and
    `predict_proba` for a classification."""
    function: ImportPath | None = None
    """Takes the features, and `params` by name, and returns what `predict` would; nothing is fitted."""
    network: ImportPath | None = None
    """A torch module's class, called with the numbers of inputs and outputs, and parameters by name."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """Parameters that are fixed."""
    search: dict[str, Range | Choices] = Field(default_factory=dict)
    """Parameters that are searched: a range, or a list whose first value is tried first."""
    frame: bool = False
    """Whether features come as a pandas frame with their names, and not as an array."""
    saver: SaverPaths | None = None
    """How a fitted model is kept, where its class has no `save` and `load` of its own."""
    allow_pickle: bool = False
    """Whether a fitted model that nothing else can keep becomes a pickle, signed with a key of the home."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(path is not None for path in (self.estimator, self.function, self.network)) != 1:
            raise ValueError("a model must name exactly one of estimator, function and network")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        is_kept = self.saver is not None or self.allow_pickle
        if self.estimator is None and is_kept:
            raise ValueError("saver and allow_pickle are for an estimator; others need neither")
        if self.function is not None and self.search:
            raise ValueError("search is for what is fitted; a function has only params")
        if self.network is not None and self.frame:
            raise ValueError("a network takes tensors; frame is for an estimator or a function")
        if self.saver is not None and self.allow_pickle:
            raise ValueError("a model is kept by its saver or as a signed pickle; write one of both")
        if both := sorted(self.params.keys() & self.search.keys()):
            raise ValueError(f"{both[0]} must be in params, where it is fixed, or in search, and not in both")
        return self

    @field_validator("search")
    @classmethod
    def _names_without_the_searchs_own(cls, search: dict[str, Range | Choices]) -> dict[str, Range | Choices]:
        if "n_recent" in search:
            raise ValueError(
                "n_recent is how many rows a trial learns from; the parameter needs another name"
            )
        return search

    @property
    def path(self) -> str:
        """The import path."""
        return str(self.estimator or self.function or self.network)

    def space(self) -> tuple[Parameter, ...]:
        """Return what is searched."""
        return tuple(
            one.parameter(name) if isinstance(one, Range) else Choice(name, one[0], one)
            for name, one in self.search.items()
        )
