"""The gate's verdict, from a comparison on rows that neither model was trained or tuned on."""

from __future__ import annotations

import math

from raypipe.control.events import Gain
from raypipe.control.happening import Verdict
from raypipe.policy.config import GateSettings
from raypipe.training.compare import Comparison

Judgement = tuple[Verdict, tuple[str, ...]]


def verdict_of(found: Comparison, settings: GateSettings) -> Judgement:
    """Return the verdict and its reasons: pass where the whole interval of the gain is above the margin.

    With a margin below 0 that is non-inferiority: one that is as good may pass, one that is surely worse by
    more than the margin fails.

    A challenger that cannot be loaded, or whose score is not finite, fails: such a model must not answer.
    Where it is the champion that cannot be scored, where rows are few, or where the interval holds the
    margin, nothing is shown: the verdict is inconclusive, and the champion stays.

    >>> verdict_of(Comparison("auc", "v1", "v2", 500, 0.87, 0.91, 0.04, 0.01, 0.07), GateSettings())
    ('pass', ('better by 0.04 [0.01, 0.07] on 500 rows',))
    """
    return (
        unscored(found)
        or _too_large(found, settings)
        or _too_few(found, settings)
        or equal_enough(_judged(found, settings), found, settings)
    )


def gain_of(found: Comparison) -> Gain:
    """Return how much better the challenger is, positive whatever the metric."""
    return Gain(found.gain, found.gain_low, found.gain_high)


def unscored(found: Comparison) -> Judgement | None:
    """Return the verdict where one of the two has no usable answers; None where both have."""
    if found.challenger_error:
        return "fail", (f"the challenger {found.challenger} cannot be scored: {found.challenger_error}",)
    if found.champion_error:
        cause = f"the champion {found.champion} cannot be scored, so nothing was compared"
        remedy = f"mend it, or release {found.challenger} by hand"
        return "inconclusive", (f"{cause}: {found.champion_error}", remedy)
    return None


def _too_large(found: Comparison, settings: GateSettings) -> Judgement | None:
    """Return the verdict on what is too slow or too large, however good it is."""
    reasons = []
    if settings.max_row_ms is not None and found.row_ms is not None and found.row_ms > settings.max_row_ms:
        reasons.append(
            f"it takes {found.row_ms:.3g} ms for a row, and retraining.gate.max_row_ms is "
            f"{settings.max_row_ms:g}"
        )
    if settings.max_bytes is not None and found.n_bytes is not None and found.n_bytes > settings.max_bytes:
        reasons.append(
            f"it has {found.n_bytes:,} bytes, and retraining.gate.max_bytes is {settings.max_bytes:,}"
        )
    return ("fail", tuple(reasons)) if reasons else None


def equal_enough(judged: Judgement, found: Comparison, settings: GateSettings) -> Judgement:
    """Return `fail` for a pass that is surely worse for some, or whose probabilities are further off."""
    if judged[0] != "pass":
        return judged
    reasons = [
        f"worse by {-one.gain:.3g} [{-one.high:.3g}, {-one.low:.3g}] where {one.column} is {one.value} "
        f"({one.n_rows} rows), and retraining.gate.max_slice_loss is {settings.max_slice_loss:g}"
        for one in found.slices
        if one.high < -settings.max_slice_loss
    ]
    ours, theirs = found.champion_calibration, found.challenger_calibration
    if ours is not None and theirs is not None and theirs - ours > settings.max_calibration_loss:
        reasons.append(
            f"its probabilities are off by {theirs:.3g}, the champion's by {ours:.3g}, and "
            f"retraining.gate.max_calibration_loss is {settings.max_calibration_loss:g}"
        )
    return ("fail", tuple(reasons)) if reasons else judged


def _too_few(found: Comparison, settings: GateSettings) -> Judgement | None:
    if found.n_rows >= settings.min_rows:
        return None
    return "inconclusive", (
        f"{found.n_rows} labelled rows, and retraining.gate.min_rows is {settings.min_rows}",
    )


def _judged(found: Comparison, settings: GateSettings) -> Judgement:
    n_rows, gain = found.n_rows, gain_of(found)
    if not _is_score(found.challenger_score):
        if not _is_score(found.champion_score):
            return "inconclusive", (f"{found.metric} is not defined on these {n_rows} rows",)
        return "fail", (f"the challenger has no score on {n_rows} rows",)
    if gain.value is None or gain.low is None or gain.high is None:
        return "inconclusive", (f"the gain is not defined on {n_rows} rows",)
    shown = f"better by {gain.value:.4g} [{gain.low:.4g}, {gain.high:.4g}] on {n_rows} rows"
    if gain.low > settings.margin:
        verdict: Verdict = "pass"
    else:
        verdict = "fail" if gain.high < settings.margin else "inconclusive"
    return verdict, (f"{shown}{_allowed(verdict, settings)}",)


def _allowed(verdict: Verdict, settings: GateSettings) -> str:
    """Say what a margin below 0 makes of a verdict: it asks for less than being better."""
    if settings.margin >= 0:
        return ""
    might = {"pass": "surely not", "fail": "surely", "inconclusive": "perhaps"}[verdict]
    return f", {might} worse by more than the {-settings.margin:g} that retraining.gate.margin allows"


def _is_score(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
