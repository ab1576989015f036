"""All that is known of the serving version, from what the fold keeps and the newest rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.decay import Decay, decay
from raypipe.monitoring.harm import Budget, HarmState, Release, harm
from raypipe.monitoring.labelled_life import LabelledLife, Slice, budget_share
from raypipe.monitoring.life import NOTHING_KNOWN
from raypipe.monitoring.reference import NumberBins
from raypipe.monitoring.report import (
    Cohort,
    EstimatedQuality,
    HarmEvidence,
    JointEvidence,
    Matured,
    ReleaseScore,
    Signals,
    UnitChange,
)
from raypipe.monitoring.watch import OUTPUTS, Watch, answers_of
from raypipe.stats.many import rejected, spent

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from raypipe.monitoring.fold_lives import Lives
    from raypipe.stats.delays import DelayCurve

MIN_ESTIMATED = 100
"""With fewer answered rows nothing is estimated."""
JOINT_ROWS, JOINT_GROWTH = 2_000, 1.05
"""After so many answers all inputs together are looked at; each time it takes 5% more until the next."""


def signals(
    watch: Watch,
    lives: Lives,
    delays: DelayCurve,
    newest: pa.Table,
    settings: MonitoringSettings,
    *,
    now: datetime,
    looked: JointEvidence | None = None,
) -> Signals:
    """Return what is known of a version; `newest` are its newest answers, with `label`, null without one.

    `looked` is what the last look at all inputs together found, which stands until the next is due.
    """
    columns = watch.columns
    known = watch.graded.alike if watch.graded else NOTHING_KNOWN
    found = lives.counts.evidence(columns, watch.drift_budget(settings), known)
    found = found if lives.counts.n_rows >= settings.min_rows else ()
    releases, budget = watch.releases(settings), watch.harm_budget(settings)
    has_slices = len(releases) > 1
    return Signals(
        n_rows=lives.counts.n_rows,
        inputs=tuple(one for one in found if one.column not in OUTPUTS or one.column in _names(watch)),
        outputs=tuple(one for one in found if one.column in OUTPUTS and one.column not in _names(watch)),
        harm=_harm("", lives.labels.harm, releases[None], budget_share(budget, has_slices))
        if releases
        else None,
        slices=_slices(watch, lives.labels, releases, budget) if has_slices else (),
        matured=_matured(lives.labels, delays),
        estimated=_estimated(watch, newest, lives.labels.mature_after_s, now),
        units=_units(watch, newest, [one.column for one in found if one.drifted]),
        joint=_joint(watch, lives.counts.n_rows, newest, settings, looked),
        decay=_decay(lives, releases[None]) if releases else None,
        release=_release(watch),
    )


def _release(watch: Watch) -> ReleaseScore | None:
    graded = watch.graded
    if graded is None or graded.score is None:
        return None
    ends = graded.score.value, graded.score.low, graded.score.high
    value, low, high = (end if math.isfinite(end) else None for end in ends)
    return ReleaseScore(watch.task.metric, value, low, high, graded.n_rows)


def _names(watch: Watch) -> set[str]:
    return {one.column.name for one in watch.inputs.columns}


def _harm(of: str, state: HarmState, release: Release, budget: Budget) -> HarmEvidence:
    found = harm(state, budget)
    return HarmEvidence(
        of=of,
        n_labels=found.n_labels,
        loss=found.mean,
        at_release=release.mean,
        bound=release.bound,
        log_evidence=max(found.log_life, -1e9),
        log_needed=math.log(1 / (budget.alpha - budget.delta)),
        log_recent=max(found.log_recent, -1e9),
        log_recent_needed=math.log(budget.run_length),
        harmed=found.harmed,
        changed=found.changed,
    )


def _slices(
    watch: Watch, labels: LabelledLife, releases: Mapping[Slice | None, Release], budget: Budget
) -> tuple[HarmEvidence, ...]:
    """Return the evidence of each slice that has labels; e-BH decides over all that were graded."""
    from raypipe.monitoring.graded import slice_name

    share = budget_share(budget, has_slices=True)
    bins = {one.column.name: one for one in watch.sliced.columns}
    keys = [key for key in releases if key is not None]
    states = [labels.slices.get(key, HarmState()) for key in keys]
    found = [
        _harm(slice_name(bins[key[0]], key[1]), state, releases[key], share)
        for key, state in zip(keys, states, strict=True)
    ]
    needed = found[0].log_needed
    harmed = rejected([one.log_evidence for one in found], needed)
    alone = needed + math.log(len(found))
    return tuple(
        replace(one, harmed=bool(is_harmed), log_needed=alone)
        for one, is_harmed in zip(found, harmed, strict=True)
        if one.n_labels
    )


def _decay(lives: Lives, release: Release) -> Decay | None:
    return decay(lives.labels.course, lives.n_answers, release.mean, release.bound)


def _matured(labels: LabelledLife, delays: DelayCurve) -> Matured:
    low, high = labels.bounds or (None, None)
    return Matured(
        n_answers=labels.n_answers,
        n_labelled=labels.n_labelled,
        low=low,
        high=high,
        mature_after_s=labels.mature_after_s,
        ever_labelled_ratio=delays.ever,
        delay_p50_s=delays.age_for(0.5),
        delay_p95_s=delays.age_for(0.95),
        cohorts=tuple(
            Cohort(
                datetime.fromtimestamp(one.last_at_s, UTC),
                one.n_answers,
                one.n_labelled,
                one.total_loss / one.n_answers,
                (one.total_loss + one.n_answers - one.n_labelled) / one.n_answers,
            )
            for one in labels.shown
            if one.n_answers
        ),
    )


def _inputs(watch: Watch, newest: pa.Table) -> pa.Table:
    """Return the inputs of the newest answers; of some that are labelled only the label is kept."""
    import pyarrow.compute as pc

    from raypipe.data.live import decode_inputs

    there = newest.filter(pc.not_equal(newest["inputs"], "{}"))
    return decode_inputs(there["inputs"], watch.inputs.inputs)


def _units(watch: Watch, newest: pa.Table, drifted: Sequence[str]) -> tuple[UnitChange, ...]:
    import numpy as np

    from raypipe.data.arrays import as_numbers
    from raypipe.monitoring.units import unit_factor

    columns = [one for one in watch.inputs.only(drifted).columns if isinstance(one.bins, NumberBins)]
    if not columns or not newest.num_rows:
        return ()
    inputs, found = _inputs(watch, newest), list[UnitChange]()
    for one in columns:
        values = as_numbers(inputs[one.column.name], one.column.kind).drop_nulls().to_numpy()
        factor = unit_factor(one, values[np.isfinite(values)].astype(np.float64))
        if factor is not None:
            found.append(UnitChange(one.column.name, factor))
    return tuple(found)


def _joint(
    watch: Watch,
    n_rows: int,
    newest: pa.Table,
    settings: MonitoringSettings,
    looked: JointEvidence | None,
) -> JointEvidence | None:
    """Look at all inputs together whenever enough rows have come since the last time."""
    from raypipe.monitoring.joint import Sample, told_apart

    nth = joint_looks(n_rows)
    if watch.graded is None or nth == 0 or (looked is not None and looked.nth == nth):
        return looked
    live = Sample.of(watch.inputs, _inputs(watch, newest), seed=nth)
    found = told_apart(watch.graded.sample, live, seed=nth)
    if found is None:
        return looked
    needed = spent(spent(settings.drift.alpha, watch.nth_version), nth)
    return JointEvidence(nth, found.auc, found.p_value, needed)


def joint_looks(n_rows: int) -> int:
    """Return how many looks at all inputs together are due by so many answers.

    >>> [joint_looks(n) for n in (1_999, 2_000, 4_100, 1_000_000)]
    [0, 1, 2, 66]
    """
    grown = 1 + n_rows * (JOINT_GROWTH - 1) / JOINT_ROWS
    return int(math.log(grown) / math.log(JOINT_GROWTH) + 1e-9)


def _estimated(
    watch: Watch, newest: pa.Table, mature_after_s: float | None, now: datetime
) -> EstimatedQuality | None:
    """Estimate the loss of the newest answers; labels of those that are mature correct it.

    Of younger ones the quick labels alone have come, which are no random draw.
    """
    import numpy as np

    from raypipe.monitoring.estimated import MIN_CORRECTING, corrected, estimated

    if watch.graded is None or newest.num_rows < MIN_ESTIMATED:
        return None
    expected = watch.graded.expected
    answers = answers_of(watch.task, newest["prediction"], newest["probabilities"])
    scores = answers[answers.column_names[-1]].to_numpy()
    losses = _losses(watch, newest)
    ages_s = now.timestamp() - newest["at"].cast("int64").to_numpy() / 1e6
    known = np.isfinite(scores)
    labelled = known & ~np.isnan(losses)
    measures = labelled & (ages_s >= mature_after_s) if mature_after_s is not None else labelled & False
    if not known.any():
        return None
    if measures.sum() >= MIN_CORRECTING:
        found = corrected(expected, scores[known & ~measures], scores[measures], losses[measures])
    else:
        found = estimated(expected, scores[known])
    return EstimatedQuality(
        loss="error" if watch.task.kind == "classification" else "mae",
        value=found.loss.value,
        low=found.loss.low,
        high=found.loss.high,
        basis=found.basis,
        n_rows=found.n_rows,
        n_labels=found.n_labels,
        measured=float(losses[labelled].mean()) if labelled.any() else None,
    )


def _losses(watch: Watch, newest: pa.Table) -> NDArray[np.float64]:
    """Return a wrong class as 1, or the absolute error; NaN without a label that the task can use."""
    import numpy as np

    from raypipe.monitoring.quality import row_losses

    there = newest["label"].is_valid()
    found = np.full(newest.num_rows, np.nan)
    found[there.to_numpy()] = row_losses(newest.filter(there), watch.task, np.abs)
    return found


def newest_answers(predictions: pa.Table, labels: pa.Table, version: str, n_rows: int) -> pa.Table:
    """Return the newest answers of a version, oldest first, with the last `label` of each or null."""
    import pyarrow.compute as pc

    from raypipe.data.live import answered_once, last_labels

    answered = answered_once(predictions.filter(pc.equal(predictions["version"], version)))
    newest = answered.slice(max(0, answered.num_rows - n_rows))
    known = last_labels(labels)
    at = pc.index_in(newest["id"], known["prediction_id"].combine_chunks())
    return newest.append_column("label", known["label"].combine_chunks().take(at))
