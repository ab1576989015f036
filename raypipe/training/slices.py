"""Parts of the rows that judge, and how a challenger does on each: better in all may be worse for some.

The loss of a row is half the squared error of the probabilities; for regression e / (e + m), where m is the
median of the champion's absolute errors e.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from raypipe.core.ids import Json
from raypipe.training.task import Task

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from raypipe.data.schema import Column
    from raypipe.training.models import Float64Array

    Target = NDArray[np.int64] | NDArray[np.float64]

MIN_ROWS = 50
MAX_SLICES = 50
MAX_VALUES = 20
N_BINS = 10


@dataclass(frozen=True)
class Slice:
    """Rows with one value of one column: how much lower the challenger's mean loss is there.

    The ends are of a 95% interval over all slices together (Bonferroni).
    """

    column: str
    value: str
    n_rows: int
    gain: float
    low: float
    high: float

    def to_json(self) -> Json:
        return dict(vars(self))


def slices_of(rows: pa.Table, inputs: Sequence[Column]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return column, value and rows of each slice that is large enough: categories and booleans alone."""
    found = [
        one
        for column in inputs
        if column.kind in ("category", "boolean")
        for one in _values(column.name, rows[column.name].to_pylist())
    ]
    return sorted(found, key=lambda one: -int(one[2].sum()))[:MAX_SLICES]


def judge_slices(
    task: Task,
    y: Target,
    champion: Float64Array,
    challenger: Float64Array,
    slices: Sequence[tuple[str, str, NDArray[np.bool_]]],
) -> tuple[Slice, ...]:
    """Return how the challenger does on each slice, the worst first."""
    if not slices:
        return ()
    gains = _losses(task, y, champion, champion) - _losses(task, y, challenger, champion)
    z = NormalDist().inv_cdf(1 - 0.025 / len(slices))
    found = []
    for column, value, chosen in slices:
        part = gains[chosen]
        mean, half = float(part.mean()), z * float(part.std(ddof=1)) / math.sqrt(len(part))
        found.append(Slice(column, value, len(part), mean, mean - half, mean + half))
    return tuple(sorted(found, key=lambda one: one.gain))


def calibration_error(task: Task, y: Target, answers: Float64Array) -> float | None:
    """Return the mean gap between what the likeliest class was given and how often it came; None for amounts.

    Rows are put into ten bins of equally many by what was given (Naeini, Cooper, Hauskrecht, AAAI 2015).
    """
    if task.kind != "classification":
        return None
    given, right = answers.max(axis=1), answers.argmax(axis=1) == y
    order = np.argsort(given, kind="stable")
    parts = [part for part in np.array_split(order, N_BINS) if len(part)]
    gaps = [len(part) * abs(float(given[part].mean()) - float(right[part].mean())) for part in parts]
    return sum(gaps) / len(y)


def _values(name: str, cells: Sequence[object]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    texts = np.array(["missing" if cell is None else str(cell) for cell in cells], object)
    values = sorted(set(texts.tolist()))
    if 1 < len(values) <= MAX_VALUES:
        for value in values:
            chosen = np.asarray(texts == value, bool)
            if chosen.sum() >= MIN_ROWS:
                yield name, value, chosen


def _losses(task: Task, y: Target, answers: Float64Array, champion: Float64Array) -> NDArray[np.float64]:
    if task.kind == "classification":
        truth = np.eye(task.n_classes)[np.asarray(y, np.int64)]
        return np.asarray(((answers - truth) ** 2).sum(axis=1) / 2, np.float64)
    typical = max(float(np.median(np.abs(champion - y))), 1e-12)
    errors = np.abs(answers - y)
    return np.asarray(errors / (errors + typical), np.float64)
