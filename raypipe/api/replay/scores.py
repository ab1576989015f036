"""What a replay's answers were worth: the loop beside two that never learn again, on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.api.replay.answers import LiveAnswers
from raypipe.core.errors import DataError
from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.stats.paired import paired
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raypipe.serving.predictor import Predictor

LOOP, FROZEN, CONSTANT = "loop", "frozen", "constant"
N_PARTS = 4


@dataclass(frozen=True)
class Line:
    """The scores on some of the rows; `gain` is that of the loop over the frozen first champion, paired.

    Of the gain, positive is better whatever the metric.
    """

    of: str
    """`all`, the event time at which a quarter starts, or the version that answered."""
    metric: str
    n_rows: int
    loop: Interval
    frozen: Interval
    constant: Interval
    gain: Interval

    def to_json(self) -> dict[str, Json]:
        return {
            "of": self.of,
            "metric": self.metric,
            "n_rows": self.n_rows,
            LOOP: self.loop.to_json(),
            FROZEN: self.frozen.to_json(),
            CONSTANT: self.constant.to_json(),
            "gain": self.gain.to_json(),
        }


@dataclass(frozen=True)
class Scores:
    """The scores over the whole replay, over each quarter, over what each version answered.

    An auc over rows of several versions also ranks the answers of one against those of another, which were
    never meant to be compared: there the versions' own lines tell more, and so do the other metrics.
    """

    whole: Line
    quarters: tuple[Line, ...]
    versions: tuple[Line, ...]
    other_metrics: tuple[Line, ...]
    """The whole replay by the task's other metrics."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them, the whole first."""
        return (self.whole, *self.quarters, *self.versions, *self.other_metrics)

    def to_json(self) -> dict[str, Json]:
        return {
            "whole": self.whole.to_json(),
            "quarters": [line.to_json() for line in self.quarters],
            "versions": [line.to_json() for line in self.versions],
            "other_metrics": [line.to_json() for line in self.other_metrics],
        }


def score(
    played: pa.Table,
    time: str,
    live: LiveAnswers,
    frozen: Predictor,
    constant: ConstantModel,
    *,
    seed: int,
    block_rows: int | None = None,
) -> Scores:
    """Score the live answers, the first champion and the constant on the same rows.

    These are the rows that were answered, and whose label the first champion's task knows. Raises DataError
    where there is none.
    """
    task = frozen.task
    used = _is_answered(live.values) & _is_known(played[task.label], task)
    rows = played.filter(pa.array(used))
    if not rows.num_rows:
        raise DataError("no row of the replay was answered, so there is nothing to score.")
    features = frozen.transform.transform_table(rows)
    judged = _Judged(
        task.encode(rows[task.label]),
        {
            LOOP: live.values[used],
            FROZEN: frozen.model.predict(features),
            CONSTANT: constant.predict(features),
        },
        seed,
        block_rows,
    )
    everything = np.ones(rows.num_rows, np.bool_)
    versions = np.array(live.versions)[used]
    return Scores(
        whole=judged.line("all", task.metric, everything),
        quarters=tuple(judged.line(start, task.metric, mine) for start, mine in _quarters(rows[time])),
        versions=tuple(
            judged.line(version, task.metric, versions == version)
            for version in dict.fromkeys(versions.tolist())
        ),
        other_metrics=tuple(judged.line("all", name, everything) for name in task.metrics[1:]),
    )


@dataclass(frozen=True)
class _Judged:
    """The truth, and what each of the three answered."""

    y: NDArray[np.int64] | NDArray[np.float64]
    answers: Mapping[str, NDArray[np.float64]]
    seed: int
    block_rows: int | None

    def line(self, of: str, metric: str, mine: NDArray[np.bool_]) -> Line:
        answers = {name: given[mine] for name, given in self.answers.items()}
        found = paired(METRICS[metric], self.y[mine], answers, seed=self.seed, block_length=self.block_rows)
        return Line(
            of=of,
            metric=metric,
            n_rows=int(mine.sum()),
            loop=found.score(LOOP),
            frozen=found.score(FROZEN),
            constant=found.score(CONSTANT),
            gain=found.gain(LOOP, over=FROZEN),
        )


def _quarters(times: pa.ChunkedArray) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the time at which each part starts and its rows; parts are equally long, give or take a row."""
    numbers = np.arange(len(times))
    for start, end in pairwise(np.linspace(0, len(times), N_PARTS + 1).astype(int).tolist()):
        if end > start:
            yield times[start].as_py().isoformat(), (start <= numbers) & (numbers < end)


def _is_answered(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values.reshape(len(values), -1).sum(axis=1)))


def _is_known(labels: pa.ChunkedArray, task: Task) -> NDArray[np.bool_]:
    if not task.classes:
        return np.ones(len(labels), np.bool_)
    known = pc.is_in(labels, value_set=pa.array(task.classes).cast(labels.type))
    found: NDArray[np.bool_] = known.to_numpy(zero_copy_only=False)
    return found
