"""The endpoint's answers to the rows of a replay, by the rows' numbers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raypipe.core.ids import Json
from raypipe.serving.answers import class_name
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LiveAnswers:
    """The endpoint's answers by the rows' numbers, taken from several threads; NaN where none came."""

    def __init__(self, task: Task, n_rows: int) -> None:
        self._names = [class_name(value) for value in task.classes]
        self.values: NDArray[np.float64] = np.full(
            (n_rows, task.n_classes) if task.classes else n_rows, np.nan
        )
        """Probabilities in the order of the task's classes, or values."""
        self.versions: list[str | None] = [None] * n_rows
        """The version that answered each row."""
        self.n_refused = 0
        """Rows that were answered with an error."""
        self._lock = threading.Lock()

    def take(self, first: int, version: str, answers: Sequence[Json]) -> None:
        """Keep the answers to rows from number `first` on."""
        found = [answer_of(answer, self._names) for answer in answers]
        with self._lock:
            for row, given in enumerate(found, first):
                if given is not None:
                    self.values[row], self.versions[row] = given, version
            self.n_refused += sum(given is None for given in found)

    @property
    def rows_by_version(self) -> dict[str, int]:
        """How many rows each version answered, in order of the first."""
        return dict(Counter(version for version in self.versions if version is not None))


def answer_of(answer: Json, class_names: Sequence[str]) -> list[float] | float | None:
    """Return the probabilities of the classes, or the value; None for an error.

    A class that the answering version does not know has the probability 0.
    """
    match answer:
        case {"probabilities": Mapping() as given}:
            return [_number(given.get(name, 0.0)) for name in class_names]
        case {"prediction": int() | float() as value} if not class_names:
            return float(value)
        case _:
            return None


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
