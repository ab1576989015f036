"""The loss of one answer in [0, 1], by which a challenger and the champion are compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.data.captured import Answer
from raypipe.training.task import Task

LOSS_DIGITS = 3
"""Losses are rounded, so that many rows are few distinct bets."""
Given = Answer | Sequence[float]
"""Probabilities in the order of the task's classes, or a number."""


@dataclass(frozen=True)
class RowLoss:
    """Half the squared error of the probabilities (Brier); for regression e / (e + `typical`) of an error e.

    >>> RowLoss(Task("classification", "paid", ("no", "yes"), "auc"))([0.75, 0.25], '"no"')
    0.062
    """

    task: Task
    typical: float | None = None
    """An absolute error as the champion has it; None for classification, and while it is not known."""

    @property
    def is_defined(self) -> bool:
        return self.task.kind == "classification" or self.typical is not None

    def __call__(self, given: Given, label: str) -> float | None:
        """Return the loss of an answer, by the label as JSON; None for a label that is none."""
        if isinstance(given, str | bool):
            return None
        if not isinstance(given, int | float):
            return self._brier(given, label)
        error = self.error(given, label)
        if error is None or self.typical is None:
            return None
        return round(error / (error + self.typical), LOSS_DIGITS)

    def error(self, given: Given, label: str) -> float | None:
        """Return the absolute error of a number; None for a label that is none."""
        truth = json.loads(label)
        if isinstance(given, str | bool | Sequence) or isinstance(truth, str | bool):
            return None
        return abs(float(given) - float(truth))

    def _brier(self, given: Sequence[float], label: str) -> float | None:
        truth = json.loads(label)
        names = [_name(one) for one in self.task.classes]
        if _name(truth) not in names:
            return None
        at = names.index(_name(truth))
        squared = sum((p - (place == at)) ** 2 for place, p in enumerate(given))
        return round(min(1.0, squared / 2), LOSS_DIGITS)


def typical_error(errors: Sequence[float]) -> float:
    """Return the median, and a little more than nothing where that is nothing."""
    return max(statistics.median(errors), 1e-12)


def _name(value: Answer) -> str:
    """Return a class as text, so that true is not 1."""
    return json.dumps(value, ensure_ascii=False)
