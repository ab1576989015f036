"""How a challenger does beside the champion on live traffic, and what follows: verdicts of a rollout's steps.

Each step has tests of its own, which may be looked at as often as one likes. *Harm* (errors, slowness, higher
losses) is called with a probability of at most `alpha` in all while there is none. To go on, a step must have
shown that the losses are not too high; what is not shown, because data is missing or the difference is small,
holds, until the step's deadline makes it inconclusive.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from raypipe.control.happening import Verdict
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, ShadowEvidence
from raypipe.policy.rollout import CanarySettings, RolloutSettings, ShadowSettings
from raypipe.stats.arms import losses_to_tell

Judgement: TypeAlias = "tuple[Verdict, tuple[str, ...]]"
MIN_BASELINE_LABELS = 50
"""Labelled rows of the champion that tell how large its losses are, before a canary begins."""


def judge_shadow(
    found: ShadowEvidence, settings: ShadowSettings, *, alpha: float, alpha_of_each: float, waited_s: float
) -> Judgement | None:
    """Return the verdict of a shadow, None while it holds."""
    harm = _harm_in_shadow(found, settings, alpha_of_each)
    if harm:
        return "fail", harm
    is_shown = found.lower.log_mean >= math.log(1 / alpha)
    if found.n_rows < settings.min_rows or waited_s < settings.hold_s or not is_shown:
        return None
    return "pass", (
        f"on {found.n_labels} labelled rows its mean loss is less than {settings.margin:g} above the other's",
        *describe_shadow(found),
    )


def judge_canary(
    found: CanaryEvidence,
    settings: CanarySettings,
    *,
    alpha: float,
    alpha_of_each: float,
    waited_s: float,
) -> Judgement | None:
    """Return the verdict of one step of a canary, None while it holds."""
    harm = _harm_in_canary(found, settings, alpha_of_each)
    if harm:
        return "fail", harm
    if waited_s < settings.hold_s or found.losses.log_fine < math.log(1 / alpha):
        return None
    return "pass", (
        f"its mean loss is less than {settings.tolerance:g} times the champion's",
        *describe_canary(found),
    )


def rows_of_step(baseline: Baseline, weight: float, rollout: RolloutSettings) -> int | None:
    """Return how many rows of clients a step may spend; None where too little is known of the champion.

    It is the number after which a challenger whose mean loss is `harm` times the champion's has been told,
    and one as good as the champion has been let through, each but with a probability of about `miss`: what
    the tests are given at most, and so what a bad version can touch.
    """
    canary = rollout.canary
    if canary is None or baseline.n_labels < MIN_BASELINE_LABELS:
        return None
    # With no loss at all among n rows, one in n is not ruled out.
    mean = max(baseline.loss, 1.0) / baseline.n_labels
    harmful = _rows(mean, weight, canary.harm, 1.0, alpha=rollout.alpha_of_each, miss=canary.miss)
    fine = _rows(mean, weight, 1.0, canary.tolerance, alpha=rollout.alpha, miss=canary.miss)
    return min(canary.max_rows, math.ceil(max(harmful, fine)))


def _rows(mean: float, weight: float, true: float, against: float, *, alpha: float, miss: float) -> float:
    """Return the treated arm's rows until enough losses have come, at the same chance of missing it."""
    n_losses = losses_to_tell(weight, true, against, alpha=alpha, miss=miss)
    per_row = mean * (weight * true + 1 - weight)
    return weight * (n_losses + 2 * math.sqrt(n_losses)) / per_row


def describe_shadow(found: ShadowEvidence) -> tuple[str, ...]:
    """Return what a shadow showed, for a receipt."""
    n = found.n_rows
    if not n:
        return ("no row was asked",)
    slower = "" if found.slowdown is None else f", {found.slowdown:.3g} times its time"
    return (
        f"{n} rows asked: {found.n_agreed / n:.1%} agree with the champion, "
        f"mean difference {found.mean_difference:.3g}{slower}, {int(found.failed.total)} failed",
    )


def describe_canary(found: CanaryEvidence) -> tuple[str, ...]:
    """Return what a step showed, for a receipt."""
    losses, slow = found.losses, found.slow
    return (
        f"{found.n_rows} rows of clients: {int(found.failed.total)} failed, {int(slow.treated_loss)} slow "
        f"({int(slow.other_loss)} of {slow.n_other} of the champion's)",
        f"mean loss {_mean(losses.treated_loss, losses.n_treated)} on {losses.n_treated} labels, "
        f"{_mean(losses.other_loss, losses.n_other)} on {losses.n_other} of the champion's",
    )


def _harm_in_shadow(found: ShadowEvidence, settings: ShadowSettings, alpha: float) -> tuple[str, ...]:
    bound = math.log(1 / alpha)
    harm = []
    if found.failed.log_mean >= bound:
        harm.append(f"more than {settings.max_error_ratio:.1%} of its rows fail")
    if found.higher.log_mean >= bound:
        harm.append(f"its losses are higher than the champion's on {found.n_labels} labelled rows")
    too_slow = found.slowdown is not None and found.slowdown > settings.max_slowdown
    if too_slow and found.n_rows >= settings.min_rows:
        harm.append(f"it takes more than {settings.max_slowdown:g} times as long as the champion")
    return (*harm, *describe_shadow(found)) if harm else ()


def _harm_in_canary(found: CanaryEvidence, settings: CanarySettings, alpha: float) -> tuple[str, ...]:
    bound = math.log(1 / alpha)
    harm = []
    if found.failed.log_mean >= bound:
        harm.append(f"more than {settings.max_error_ratio:.1%} of its rows fail")
    if found.slow.log_worse >= bound:
        harm.append(f"more of its answers than of the champion's take over {settings.slow_ms:g} ms")
    if found.losses.log_worse >= bound:
        harm.append("its losses are higher than the champion's")
    return (*harm, *describe_canary(found)) if harm else ()


def _mean(total: float, n: int) -> str:
    return f"{total / n:.4g}" if n else "unknown"
