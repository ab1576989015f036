"""A plain function of features: nothing is fitted, nothing is kept but its path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.imports import loaded, modules_digest
from raypipe.training.family import Parameter, Params, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.own.description import OwnDescription
from raypipe.training.own.outputs import asked
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    from raypipe.training.own.config import OwnModel


@dataclass(frozen=True)
class FunctionModel:
    """A function of the user's own, with its parameters."""

    told: OwnDescription
    function: Any

    format = "function-path"

    def predict(self, features: Float32Matrix) -> Float64Array:
        return asked(self.told, partial(self.function, **self.told.params), features)

    def save(self, folder: Path) -> None:
        self.told.write(folder)

    @staticmethod
    def load(folder: Path) -> FunctionModel:
        told = OwnDescription.read(folder)
        return FunctionModel(told, told.code())


@dataclass(frozen=True)
class FunctionFamily:
    """A function by import path, scored like a model that was trained."""

    name: str
    settings: OwnModel
    code_folder: str | None = None

    in_parts = False

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        return ()

    def train(self, _: Params, data: TrainingSet, __: Terms, /) -> Iterator[tuple[int, Model]]:
        path = self.settings.path
        told = OwnDescription(
            path=path,
            code_sha256=modules_digest(path, self.code_folder),
            code_folder=self.code_folder,
            n_features=data.x_train.shape[1],
            n_classes=data.task.n_classes,
            feature_names=data.feature_names if self.settings.frame else None,
            params=self.settings.params,
        )
        yield 1, FunctionModel(told, loaded(path, self.code_folder))

    def check(self, _: Task) -> None:
        """Raise ConfigError where the path names nothing that can be called."""
        where = f"training.models.{self.name}.function"
        try:
            found = loaded(self.settings.path, self.code_folder)
        except ArtifactError as error:
            raise ConfigError(f"{where}: {error}") from error
        if not callable(found) or isinstance(found, type):
            kind = "a class" if isinstance(found, type) else type(found).__name__
            raise ConfigError(
                f"{where} must name a function of features; a class is an `estimator` or a `network`. Got "
                f"{self.settings.path}, which is {kind}."
            )
