"""The constant that every model must beat: class shares, or the median."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raypipe.core.errors import ArtifactError
from raypipe.core.files import write_json
from raypipe.core.ids import Json
from raypipe.training.family import Parameter, Params, Terms
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

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
        if data.task.kind == "regression":
            yield 1, ConstantModel((), float(np.median(data.y_train)))
            return
        counts = np.bincount(data.y_train.astype(np.int64), minlength=data.task.n_classes)
        yield 1, ConstantModel(tuple((counts / counts.sum()).tolist()), None)
