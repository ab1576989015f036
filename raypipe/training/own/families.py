"""The families of a race: those of raypipe that the config lists, and its own models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.imports import modules_digest
from raypipe.training.family import Family, family_of
from raypipe.training.own.config import OwnModel
from raypipe.training.task import Task

if TYPE_CHECKING:
    from raypipe.training.config import TrainingSettings


class OwnFamily(Family, Protocol):
    """A family that can tell before a race that it cannot learn."""

    def check(self, task: Task) -> None:
        """Raise ConfigError where its path names nothing that can be trained for a task."""
        ...


def families_of(settings: TrainingSettings, key: Path | None = None) -> dict[str, Family]:
    """Return the families of a race by name; `key` is where the key lies that signs pickles."""
    return {**{name: family_of(name) for name in settings.families}, **own_families(settings, key)}


def own_families(settings: TrainingSettings, key: Path | None = None) -> Mapping[str, OwnFamily]:
    """Return the families of `training.models` by name."""
    return {name: _own(name, model, settings.code, key) for name, model in settings.models.items()}


def check_models(settings: TrainingSettings, task: Task) -> None:
    """Raise ConfigError where a model of the config cannot be trained for a task; imports their code."""
    for family in own_families(settings).values():
        family.check(task)


def code_digests(settings: TrainingSettings, family: str | None = None) -> dict[str, str]:
    """Return the SHA-256 of the code of each model, or of one, by import path.

    Raises ConfigError where it is gone.
    """
    return {
        model.path: f"sha256:{_digest(name, model, settings.code)}"
        for name, model in settings.models.items()
        if family in (None, name)
    }


def _digest(name: str, model: OwnModel, code: str | None) -> str:
    try:
        return modules_digest(model.path, code)
    except ArtifactError as error:
        raise ConfigError(f"training.models.{name}: {error}") from error


def _own(name: str, model: OwnModel, code: str | None, key: Path | None) -> OwnFamily:
    if model.function is not None:
        from raypipe.training.own.function import FunctionFamily

        return FunctionFamily(name, model, code)
    if model.network is not None:
        from raypipe.training.own.network import NetworkFamily

        return NetworkFamily(name, model, code)
    from raypipe.training.own.estimator import EstimatorFamily

    return EstimatorFamily(name, model, code, key)
