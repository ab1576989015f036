"""Quality before labels: what the model's own answers let expect, and its correction by a few labels.

On rows that the version was graded on, the loss is related to a score that is known without a label: for
classification the confidence in the class that was answered, made monotone (confidence-based performance
estimation, as NannyML has it); for regression the answer itself, by bins of it (direct loss estimation). The
mean of what is expected of live rows is the estimate.

It is blind to a world in which the same inputs now have other answers: under concept drift it stays where
it was. So it informs and never decides. Labels of a small random draw of rows correct it, whatever the world
does (`raypipe.stats.prediction_powered`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, TypeAlias

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval
from raypipe.stats.prediction_powered import prediction_powered
from raypipe.stats.steps import Steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Basis: TypeAlias = Literal["estimated", "estimated and corrected"]
N_BINS = 20
MIN_CORRECTING = 100
"""With fewer labels the estimate is not corrected: the normal approximation would not hold."""


@dataclass(frozen=True)
class Expected:
    """The loss to expect by score, from the rows graded at release."""

    by_score: Steps
    """Of 1 - loss for confidences, which increases; of the loss, by bins, for amounts."""
    is_confidence: bool
    n_rows: int
    unexplained: float
    """The variance of the loss around what is expected."""

    @classmethod
    def of_confidences(cls, confidences: Floats, losses: Floats) -> Expected:
        """Relate the losses of graded rows to the probability of the class that was answered."""
        right = Steps.increasing(confidences, 1 - losses)
        return cls(right, True, len(losses), float((1 - right(confidences) - losses).var()))

    @classmethod
    def of_amounts(cls, answers: Floats, losses: Floats) -> Expected:
        """Relate the losses of graded rows to the answered amount, by bins of equally many rows."""
        import numpy as np

        starts = np.unique(np.quantile(answers, np.arange(N_BINS) / N_BINS, method="lower"))
        at = np.maximum(np.searchsorted(starts, answers, side="right") - 1, 0)
        totals = np.bincount(at, weights=losses, minlength=len(starts))
        means = totals / np.bincount(at, minlength=len(starts))
        by_score = Steps(tuple(starts.tolist()), tuple(means.tolist()))
        return cls(by_score, False, len(losses), float((by_score(answers) - losses).var()))

    def losses(self, scores: Floats) -> Floats:
        """Return the loss to expect of each row."""
        found = self.by_score(scores)
        losses: Floats = 1 - found if self.is_confidence else found
        return losses

    def to_json(self) -> Json:
        return {
            "by_score": self.by_score.to_json(),
            "is_confidence": self.is_confidence,
            "n_rows": self.n_rows,
            "unexplained": self.unexplained,
        }

    @classmethod
    def from_json(cls, value: Json) -> Expected:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {
                "by_score": by_score,
                "is_confidence": bool(is_confidence),
                "n_rows": int(n),
                "unexplained": float(unexplained),
            }:
                return cls(Steps.from_json(by_score), is_confidence, n, unexplained)
            case _:
                raise SchemaError(f"An expected loss must have a relation and its rows. Got {value!r:.200}.")


@dataclass(frozen=True)
class EstimatedLoss:
    """A mean loss that was not measured, or only in part; the interval is for 95% and one look."""

    loss: Interval
    basis: Basis
    n_rows: int
    n_labels: int


def estimated(expected: Expected, scores: Floats) -> EstimatedLoss:
    """Estimate the mean loss of live rows without labels, at least one.

    The interval covers the finite rows, here and at release. It takes the relation at release for the truth
    of today: what drift of the concept adds is not in it.
    """
    found = expected.losses(scores)
    value = float(found.mean())
    spread = math.sqrt(float(found.var()) / len(found) + expected.unexplained / max(1, expected.n_rows))
    half = NormalDist().inv_cdf(0.975) * spread
    return EstimatedLoss(Interval(value, value - half, value + half), "estimated", len(scores), 0)


def corrected(expected: Expected, scores: Floats, labelled_scores: Floats, losses: Floats) -> EstimatedLoss:
    """Correct the estimate by labels of a random draw; `scores` are of the rows without one.

    With fewer than 100 labels it is the plain estimate over all rows.
    """
    import numpy as np

    if len(losses) < MIN_CORRECTING:
        return estimated(expected, np.concatenate([scores, labelled_scores]))
    found = prediction_powered(losses, expected.losses(labelled_scores), expected.losses(scores))
    n = len(scores) + len(losses)
    return EstimatedLoss(found, "estimated and corrected", n, len(losses))
