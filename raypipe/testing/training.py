"""Small rows to train on, and a trial that answers as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from raypipe.training.feature_files import FeatureFiles, writing
from raypipe.training.race import TrainingSet, mapped
from raypipe.training.task import MetricName, Task


def task_of(n_classes: int) -> Task:
    """Return a task of so many classes; 0 is a regression."""
    metric: MetricName = "mae" if n_classes == 0 else "auc" if n_classes == 2 else "log_loss"
    return Task("classification" if n_classes else "regression", "y", tuple(range(n_classes)), metric)


def training_set(n_classes: int, *, n_rows: int = 240, n_features: int = 4, seed: int = 0) -> TrainingSet:
    """Return seeded rows, half to train on, half to choose by; the first feature tells most of the target.

    `n_classes` 0 gives a regression with targets around 1,000; otherwise classes are equally frequent.
    """
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_rows, n_features)).astype(np.float32)
    latent = x[:, 0] + 0.3 * random.normal(size=n_rows)
    y: np.ndarray[tuple[int], np.dtype[np.float64]] | np.ndarray[tuple[int], np.dtype[np.int64]]
    if n_classes:
        ranks = np.argsort(np.argsort(latent))
        y = (ranks * n_classes // n_rows).astype(np.int64)
    else:
        y = 1_000.0 + 50.0 * latent
    half = n_rows // 2
    names = tuple(f"f{i}" for i in range(n_features))
    return TrainingSet(x[:half], y[:half], x[half:], y[half:], task_of(n_classes), names)


def in_files(data: TrainingSet, folder: Path) -> TrainingSet:
    """Return the same rows as files of a folder that hold the validation rows for test rows, too."""
    n_train, n_others = len(data.y_train), len(data.y_validation)
    files = FeatureFiles(folder / "features", (n_train, n_others, n_others))
    with writing(files, data.x_train.shape[1], data.y_train.dtype) as file:
        file.write(np.arange(n_train), data.x_train, data.y_train)
        for start in (n_train, n_train + n_others):
            file.write(start + np.arange(n_others), data.x_validation, data.y_validation)
    return mapped(files, data.task, data.feature_names, data.windows)


class AnsweringTrial:
    """Proposes the answers it is given, else the lowest value or first choice; keeps what was asked."""

    def __init__(self, answers: Mapping[str, str | int | float] | None = None) -> None:
        self._answers = dict(answers or {})
        self.asked: dict[str, object] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = (low, high, log)
        return float(self._answers.get(name, low))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked[name] = (low, high, log)
        return int(self._answers.get(name, low))

    def suggest_categorical(self, name: str, choices: Sequence[str | int]) -> str | int:
        self.asked[name] = tuple(choices)
        answer = self._answers.get(name, choices[0])
        return answer if isinstance(answer, int) else str(answer)
