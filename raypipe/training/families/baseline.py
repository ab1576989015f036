"""The constant that every model must beat: class shares, or the median."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from raypipe.core.errors import ArtifactError
from raypipe.core.files import write_json
from raypipe.core.ids import Json
from raypipe.training.family import Parameter, Params, Terms
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

_FILE = "constant.json"


@dataclass(frozen=True)
class ConstantModel:
    """Predicts the same for every row."""

    shares: tuple[float, ...]
    """The share of each class; empty for regression."""
    value: float | None
    """The constant for regression."""

    format = "constant-json"

    def predict(self, features: Float32Matrix) -> Float64Array:
        if self.value is not None:
            return np.full(len(features), self.value)
        return np.tile(np.array(self.shares), (len(features), 1))

    def save(self, folder: Path) -> None:
        write_json(folder / _FILE, {"shares": self.shares, "value": self.value})

    @staticmethod
    def of(task: Task, y: Target) -> ConstantModel:
        """Return the class shares of targets, or their median, whichever metric judges."""
        if task.kind == "regression":
            return ConstantModel((), float(np.median(y)))
        counts = np.bincount(y.astype(np.int64), minlength=task.n_classes)
        return ConstantModel(tuple((counts / counts.sum()).tolist()), None)

    @staticmethod
    def load(folder: Path) -> ConstantModel:
        try:
            return _from_json(json.loads((folder / _FILE).read_text()))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{folder / _FILE} is no constant model: {error}.") from error


def _from_json(value: dict[str, Json]) -> ConstantModel:
    shares, constant = value["shares"], value["value"]
    if not isinstance(shares, list) or (constant is not None and not isinstance(constant, float | int)):
        raise ValueError(f"got {value!r}")
    return ConstantModel(tuple(map(float, shares)), None if constant is None else float(constant))


class BaselineFamily:
    """Class shares of the training rows, or their median, whichever metric judges."""

    name = BASELINE
    in_parts = False

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        return ()

    def train(self, _: Params, data: TrainingSet, __: Terms, /) -> Iterator[tuple[int, Model]]:
        yield 1, ConstantModel.of(data.task, data.y_train)
