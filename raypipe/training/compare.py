"""Two models on the same rows: how much better one is, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.core.ids import Json
from raypipe.stats.bootstrap import bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length
from raypipe.stats.gains import Scale
from raypipe.stats.metrics import METRICS
from raypipe.training.slices import Slice, calibration_error, judge_slices
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raypipe.training.models import Float64Array

    Target = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A challenger beside the champion; a positive `gain` is for the challenger, whatever the metric.

    Scores and ends of the 95% interval are None where the rows do not define them, and where a model has no
    usable answers: then its error says why.
    """

    metric: str
    champion: str
    challenger: str
    n_rows: int
    champion_score: float | None
    challenger_score: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    champion_error: str = ""
    challenger_error: str = ""
    champion_calibration: float | None = None
    """The mean gap between given and observed frequencies; None for regression."""
    challenger_calibration: float | None = None
    slices: tuple[Slice, ...] = ()
    """How the challenger does on parts of the rows, the worst first."""
    row_ms: float | None = None
    """How long the challenger takes for one row; None where it was not asked in a process of its own."""
    n_bytes: int | None = None
    """The bytes of the challenger's files."""
    scale: Scale | None = None
    """By what a sequence of later rows would go on; None where these rows do not tell."""

    def to_json(self) -> Json:
        return asdict(self)

    @staticmethod
    def from_json(value: Any) -> Comparison:
        """Read what `to_json` wrote."""
        slices, scale = tuple(Slice(**one) for one in value.get("slices", ())), value.get("scale")
        return Comparison(**{**value, "slices": slices, "scale": None if scale is None else Scale(**scale)})


@dataclass(frozen=True)
class Answers:
    """What a version predicts of the rows that judge; where `values` is None, `error` says why."""

    version: str
    values: Float64Array | None
    error: str = ""

    @property
    def problem(self) -> str:
        """Why the answers cannot be scored; empty where they can."""
        if self.values is None:
            return self.error or "it gave no answers"
        n_bad = sum(not np.isfinite(answer).all() for answer in self.values)
        return f"{n_bad} of its {len(self.values)} answers are no finite numbers" if n_bad else ""


def compare(
    task: Task,
    y: Target,
    champion: Answers,
    challenger: Answers,
    *,
    seed: int,
    slices: Sequence[tuple[str, str, NDArray[np.bool_]]] = (),
    margin: float = 0.0,
) -> Comparison:
    """Score two models' predictions of the same rows, in time order, by the task's metric.

    The gain's interval is a paired bootstrap over blocks of neighbours (see `raypipe.stats.bootstrap`), as
    long as the rows depend on each other (`raypipe.stats.dependence`). `margin` is what a gain is held
    against later, should these rows not tell.
    """
    found = scores(task, y, champion, challenger, slices=slices)
    metric = METRICS[task.metric]
    sign = 1.0 if metric.larger_is_better else -1.0
    scored = [
        _undefined if one.problem or one.values is None else metric.prepare(y, one.values)
        for one in (champion, challenger)
    ]
    length = block_length(scored, len(y))
    draws = bootstrap(scored, len(y), seed=seed, block_length=length)
    low, high = percentile_interval(sign * (draws[:, 1] - draws[:, 0]), n_blocks=n_blocks_in(len(y), length))
    scale = None
    if champion.values is not None and challenger.values is not None and found.gain is not None:
        values = champion.values, challenger.values
        scale = Scale.of(metric.name, y, *values, margin=margin, block_rows=length)
    return replace(found, gain_low=_finite(low), gain_high=_finite(high), scale=scale)


def scores(
    task: Task,
    y: Target,
    champion: Answers,
    challenger: Answers,
    *,
    slices: Sequence[tuple[str, str, NDArray[np.bool_]]] = (),
) -> Comparison:
    """Return the same without the interval of the gain."""
    metric = METRICS[task.metric]
    old, new = (
        float("nan") if one.problem or one.values is None else metric(y, one.values)
        for one in (champion, challenger)
    )
    return Comparison(
        metric=metric.name,
        champion=champion.version,
        challenger=challenger.version,
        n_rows=len(y),
        champion_score=_finite(old),
        challenger_score=_finite(new),
        gain=_finite(metric.gain(new, old)),
        gain_low=None,
        gain_high=None,
        champion_error=champion.problem,
        challenger_error=challenger.problem,
        champion_calibration=_calibration(task, y, champion),
        challenger_calibration=_calibration(task, y, challenger),
        slices=_slices(task, y, champion, challenger, slices),
    )


def _calibration(task: Task, y: Target, of: Answers) -> float | None:
    return None if of.problem or of.values is None else calibration_error(task, y, of.values)


def _slices(
    task: Task,
    y: Target,
    champion: Answers,
    challenger: Answers,
    slices: Sequence[tuple[str, str, NDArray[np.bool_]]],
) -> tuple[Slice, ...]:
    if champion.problem or challenger.problem or champion.values is None or challenger.values is None:
        return ()
    return judge_slices(task, y, champion.values, challenger.values, slices)


def aligned(answers: Float64Array, of: Task, to: Task) -> Float64Array:
    """Return a model's answers with the classes of another task, where those of its own are others.

    A class that it does not know has the probability 0; one that is not asked for is left out.
    """
    if of.classes == to.classes:
        return answers
    found = np.zeros((len(answers), len(to.classes)))
    for column, known in enumerate(of.classes):
        if known in to.classes:
            found[:, to.classes.index(known)] = answers[:, column]
    return found


def _undefined(_: Float64Array) -> float:
    return float("nan")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
