"""Live quality by cohorts of answers, while labels are still on their way.

The mean over the labels that have arrived is wrong where errors are labelled sooner or later than right
answers: a chargeback takes months, a confirmation seconds. So answers are taken in cohorts of equal time. A
cohort is mature when its youngest answer has waited as long as nearly all labels take that ever come; and
whatever the missing labels will say, the mean loss lies between that with all of them right and that with all
of them wrong. Bounds too wide to decide by are a finding about labels, not about the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raypipe.stats.delays import DelayCurve

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MATURE_RATIO = 0.95
"""Of the labels that ever come, so many have come when a cohort is mature."""


@dataclass(frozen=True)
class Cohort:
    """The answers given from `start` on, for one cohort's time."""

    start: datetime
    n_answers: int
    n_labelled: int
    total_loss: float
    """Of the labelled ones, each in [0, 1]."""
    is_mature: bool

    @property
    def coverage_ratio(self) -> float:
        return self.n_labelled / self.n_answers

    @property
    def low(self) -> float:
        """The mean loss, were all missing labels to say that the answer was right."""
        return self.total_loss / self.n_answers

    @property
    def high(self) -> float:
        """The mean loss, were all missing labels to say that the answer was wrong."""
        return (self.total_loss + self.n_answers - self.n_labelled) / self.n_answers


@dataclass(frozen=True)
class Maturity:
    """All cohorts, oldest first, and how long labels take."""

    cohorts: tuple[Cohort, ...]
    delays: DelayCurve
    mature_after_s: float | None
    """None before the first label."""

    @property
    def ever_labelled_ratio(self) -> float:
        """The estimated share of answers that ever get a label."""
        return self.delays.ever

    def bounds(self) -> tuple[float, float] | None:
        """Return the worst-case bounds of the mean loss of all mature cohorts; None without any."""
        mature = [one for one in self.cohorts if one.is_mature]
        n = sum(one.n_answers for one in mature)
        if not n:
            return None
        lost = sum(one.total_loss for one in mature)
        return lost / n, (lost + n - sum(one.n_labelled for one in mature)) / n


@dataclass(frozen=True)
class Answers:
    """What is known of answers by now, one row each."""

    at_s: Floats
    """When each was given, in seconds since 1970."""
    delays_s: Floats
    """From answer to label, from 0 on; NaN while there is none."""
    losses: Floats
    """In [0, 1]; NaN while there is no label."""


def maturity(answers: Answers, *, now: datetime, cohort_s: float) -> Maturity:
    """Group answers by the time at which they were given, and say which cohorts are mature by `now`."""
    import numpy as np

    now_s = now.timestamp()
    curve = DelayCurve.of(answers.delays_s, now_s - answers.at_s)
    after_s = curve.age_for(MATURE_RATIO)
    starts, group = np.unique(np.floor(answers.at_s / cohort_s), return_inverse=True)
    labelled = ~np.isnan(answers.losses)
    n_answers, n_labelled = (np.bincount(group, weights=w, minlength=len(starts)) for w in (None, labelled))
    totals = np.bincount(group, weights=np.where(labelled, answers.losses, 0.0), minlength=len(starts))
    cohorts = tuple(
        Cohort(
            start=datetime.fromtimestamp(start * cohort_s, UTC),
            n_answers=int(n_answers[i]),
            n_labelled=int(n_labelled[i]),
            total_loss=float(totals[i]),
            is_mature=after_s is not None and now_s - (start + 1) * cohort_s >= after_s,
        )
        for i, start in enumerate(starts.tolist())
    )
    return Maturity(cohorts, curve, after_s)


def answers_of(predictions: pa.Table, labelled: pa.Table, losses: Floats) -> Answers:
    """Return the answers of captured predictions, with labels joined to them.

    `labelled` is of `raypipe.monitoring.labels.join`: the last answer and the last label of an id count, so
    that repeated labels count once and corrections replace. `losses` are of its rows, NaN for a label that
    the task cannot use, which then counts as none.
    """
    import numpy as np
    import polars as pl

    from raypipe.data.live import answered_once

    came = pl.DataFrame(
        {
            "id": pl.Series(labelled["id"], dtype=pl.String),
            "delay": _seconds(labelled["label_at"]) - _seconds(labelled["at"]),
            "loss": np.asarray(losses, np.float64),
        }
    )
    once = answered_once(predictions)
    asked = pl.DataFrame({"id": pl.Series(once["id"], dtype=pl.String), "at": _seconds(once["at"])})
    rows = asked.join(came, on="id", how="left", maintain_order="left")
    loss = rows["loss"].fill_null(math.nan).to_numpy()
    delay = np.maximum(rows["delay"].fill_null(math.nan).to_numpy(), 0.0)
    return Answers(rows["at"].to_numpy(), np.where(np.isnan(loss), np.nan, delay), loss)


def _seconds(times: pa.ChunkedArray) -> Floats:
    import numpy as np
    import pyarrow as pa

    return np.asarray(times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() / 1e6, np.float64)
