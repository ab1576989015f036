"""What is suspicious about a column: a leak, a constant, a duplicate, or of no use to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.data.schema import column_of
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.training.importance import Finding
from raypipe.training.models import Float64Array
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

LEAK_SKILL = 0.9
"""A column that alone comes so far from a constant's score to a perfect one holds the answer: auc 0.95, or a
tenth of the constant's error."""
DOMINANT_SHARE, DOMINANT_SKILL = 0.98, 0.75
"""So does one that alone reaches this share of what the whole model reaches, where that is this good."""
RANK_CORRELATION = 0.999
"""Numbers whose order agrees so far, or is reversed, say the same."""
MAX_DISTINCT_RATIO = 0.9
"""Where more of the values differ, that two columns pair one-to-one is no sign: row numbers pair with all."""
_N_BINS = 64
_PRIOR_ROWS = 1
"""A bin's mean is drawn to the mean of all as by so many rows: no probability is 0 or 1."""


@dataclass(frozen=True)
class Rows:
    """Training rows to learn from a column alone, and the rows to score it on."""

    train: pa.Table
    y_train: Target
    sample: pa.Table
    y_sample: Target


def codes_of(train: pa.ChunkedArray, sample: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return small codes for the values of a column in both parts, a missing value having one of its own.

    Numbers fall into 64 bins of about as many training rows, categories keep a code each.
    """
    kind = column_of(pa.field("", train.type)).kind
    if kind == "category":
        both = pa.chunked_array([*train.chunks, *sample.chunks], train.type).combine_chunks()
        codes = both.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
        return codes[: len(train)], codes[len(train) :]
    fitted, scored = numbers_of(train), numbers_of(sample)
    known = fitted[np.isfinite(fitted)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_BINS + 1)[1:-1])) if len(known) else known
    return _bins(fitted, edges), _bins(scored, edges)


def numbers_of(column: pa.ChunkedArray) -> Float64Array:
    """Return a column of numbers, booleans or moments as float64, NaN where missing."""
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    found: Float64Array = pc.cast(plain, pa.float64(), safe=False).to_numpy()
    return found


def _bins(values: Float64Array, edges: Float64Array) -> NDArray[np.int64]:
    bins = np.searchsorted(edges, values, side="right") + 1
    return np.where(np.isnan(values), 0, bins)


def alone(rows: Rows, column: str, task: Task) -> float:
    """Return the score that a column reaches by itself: each value, or bin, predicts its training mean."""
    return _score(*codes_of(rows.train[column], rows.sample[column]), rows, task)


def constant(rows: Rows, task: Task) -> float:
    """Return the score that no column at all reaches: all rows predict the mean of the training rows."""
    train, sample = (np.zeros(len(y), np.int64) for y in (rows.y_train, rows.y_sample))
    return _score(train, sample, rows, task)


def _score(train: NDArray[np.int64], sample: NDArray[np.int64], rows: Rows, task: Task) -> float:
    n_codes = int(max(train.max(initial=0), sample.max(initial=0))) + 1
    if task.kind == "regression":
        prediction = _means(train, rows.y_train.astype(np.float64), n_codes)[sample]
    else:
        hot = np.eye(task.n_classes)[rows.y_train.astype(np.int64)]
        of_class = [_means(train, hot[:, k], n_codes)[sample] for k in range(task.n_classes)]
        prediction = np.stack(of_class, axis=1)
    return METRICS[task.metric](rows.y_sample, prediction)


def _means(codes: NDArray[np.int64], values: Float64Array, n_codes: int) -> Float64Array:
    counts, sums = np.bincount(codes, minlength=n_codes), np.bincount(codes, values, minlength=n_codes)
    means: Float64Array = (sums + _PRIOR_ROWS * values.mean()) / (counts + _PRIOR_ROWS)
    return means


def skill(metric: str, score: float, constant: float) -> float:
    """Return how far a score is on the way from a constant's to a perfect one; NaN where there is no way."""
    judged = METRICS[metric]
    way = judged.gain(1.0 if judged.larger_is_better else 0.0, constant)
    return judged.gain(score, constant) / way if way > 0 else float("nan")


@dataclass(frozen=True)
class Scores:
    """The scores on the sample that a column's own is held against."""

    metric: str
    model: float
    constant: float


def leak(column: str, alone: float, scores: Scores) -> Finding | None:
    """Return the finding that a column holds the answer."""
    own, whole = (skill(scores.metric, score, scores.constant) for score in (alone, scores.model))
    dominates = whole >= DOMINANT_SKILL and own >= DOMINANT_SHARE * whole
    if not (own >= LEAK_SKILL or dominates):
        return None
    share = f", {own / whole:.0%} of what the whole model gains over a constant" if whole > 0 else ""
    return Finding(
        "leak",
        f"{column} alone reaches {scores.metric} {alone:.4g}{share}: is it known before the label is?",
    )


def useless(column: str, value: Interval, twins: Sequence[str], *, varies: bool = True) -> Finding | None:
    """Return the finding that a model does without a column; `varies`: in the rows it was measured on."""
    if not value.low <= 0:
        return None
    if not varies:
        return Finding("useless", f"{column} has one value in all rows that this was measured on")
    worse = f"{value.value:.2g} [{value.low:.2g}, {value.high:.2g}]"
    other = f"; the model may read {', '.join(twins)} instead" if twins else ""
    return Finding("useless", f"without {column} the score is worse by {worse}, so not surely worse{other}")


def duplicates(rows: pa.Table) -> Mapping[str, Mapping[str, str]]:
    """Return for each column the other columns that say the same, each with how that shows."""
    found: dict[str, dict[str, str]] = {name: {} for name in rows.column_names}
    for same, how in (*_one_to_one(rows), *_in_one_order(rows)):
        for name in same:
            for other in same:
                if other != name:
                    found[name].setdefault(other, how)
    return found


def duplicate(column: str, twins: Mapping[str, str]) -> Finding | None:
    """Return the finding that other columns say what a column says."""
    if not twins:
        return None
    said = "; ".join(f"{other} ({how})" for other, how in twins.items())
    return Finding("duplicate", f"{column} says the same as {said}: one of them is enough")


def _one_to_one(rows: pa.Table) -> list[tuple[list[str], str]]:
    """Group columns that are equal but for the names of their values: each is numbered as values appear."""
    alike: dict[bytes, list[str]] = {}
    for name in rows.column_names:
        codes = rows[name].combine_chunks().dictionary_encode(null_encoding="encode").indices
        numbered = codes.to_numpy().astype(np.int32)
        n_distinct = int(numbered.max(initial=-1)) + 1
        if 2 <= n_distinct <= MAX_DISTINCT_RATIO * len(numbered):
            alike.setdefault(numbered.tobytes(), []).append(name)
    return [(names, "one-to-one") for names in alike.values() if len(names) > 1]


def _in_one_order(rows: pa.Table) -> list[tuple[list[str], str]]:
    """Pair numbers whose ranks correlate (Spearman 1904); both must be missing in the same rows."""
    kinds = {field.name: column_of(field).kind for field in rows.schema}
    names = [name for name in rows.column_names if kinds[name] not in ("category", "boolean")]
    values = {name: numbers_of(rows[name]) for name in names}
    names = [name for name in names if len(np.unique(values[name])) > 2]
    if len(names) < 2:
        return []
    correlation = np.corrcoef([_ranks(values[name]) for name in names])
    pairs = zip(*np.nonzero(np.triu(np.abs(correlation) >= RANK_CORRELATION, 1)), strict=True)
    return [
        ([names[i], names[j]], f"rank correlation {correlation[i, j]:.4f}")
        for i, j in pairs
        if (np.isnan(values[names[i]]) == np.isnan(values[names[j]])).all()
    ]


def _ranks(values: Float64Array) -> Float64Array:
    """Return each value's rank among the present ones, ties sharing theirs, and the middle where missing."""
    present = ~np.isnan(values)
    _, place, counts = np.unique(values[present], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.full(len(values), (present.sum() + 1) / 2)
    ranks[present] = (ends - (counts - 1) / 2)[place]
    return ranks
