"""The gate's verdict, from a comparison on rows that neither model was trained or tuned on."""

from __future__ import annotations

import math

from raypipe.control.events import Gain, Verdict
from raypipe.policy.config import GateSettings


def verdict_of(
    gain: Gain, n_rows: int, challenger_score: float | None, settings: GateSettings
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and its reasons: pass where the whole interval of the gain is above the margin.

    `gain` is how much better the challenger is, positive whatever the metric; a score that is not finite
    fails, for such a model must not answer. Where rows are few or the interval holds the margin, nothing is
    shown, and the champion stays.

    >>> verdict_of(Gain(0.04, 0.01, 0.07), 500, 0.91, GateSettings())
    ('pass', ('better by 0.04 [0.01, 0.07] on 500 rows',))
    """
    if n_rows < settings.min_rows:
        few = f"{n_rows} labelled rows, and retraining.gate.min_rows is {settings.min_rows}"
        return "inconclusive", (few,)
    if challenger_score is None or not math.isfinite(challenger_score):
        return "fail", (f"the challenger has no score on {n_rows} rows",)
    if gain.value is None or gain.low is None or gain.high is None:
        return "inconclusive", (f"the gain is not defined on {n_rows} rows",)
    shown = (f"better by {gain.value:.4g} [{gain.low:.4g}, {gain.high:.4g}] on {n_rows} rows",)
    if gain.low > settings.margin:
        return "pass", shown
    return ("fail" if gain.high < settings.margin else "inconclusive"), shown
