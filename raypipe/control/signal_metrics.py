"""The signals of a version's life as samples: few series for a pipeline, however many its columns."""

from __future__ import annotations

from collections.abc import Iterator

from raypipe.monitoring.report import EstimatedQuality, HarmEvidence, Matured, Signals
from raypipe.monitoring.samples import Metric, Sample

MAX_COLUMNS = 50
"""Columns, and slices, that are exported one by one; each is a series for good."""

_BY_COLUMN = ("pipeline", "column")
_BY_LOSS = ("pipeline", "loss", "basis")
DRIFT_NEARNESS = Metric(
    "raypipe_drift_nearness",
    "gauge",
    "How far the evidence that an input has drifted is on the way to an alarm, from 0 to 1.",
    _BY_COLUMN,
)
OUTPUT_NEARNESS = Metric(
    "raypipe_output_drift_nearness", "gauge", "The same of what the champion answers.", _BY_COLUMN
)
OUTPUT_PSI = Metric(
    "raypipe_output_psi", "gauge", "How far the champion's answers lie from those when graded.", _BY_COLUMN
)
LOSS = Metric("raypipe_loss", "gauge", "The champion's mean loss on matured labels.")
LOSS_RELEASE = Metric("raypipe_loss_at_release", "gauge", "Its mean loss when it was graded.")
LOSS_BOUND = Metric("raypipe_loss_bound", "gauge", "The mean loss above which there is harm.")
LOSS_LOW = Metric(
    "raypipe_loss_low", "gauge", "The mean loss of matured answers, were all missing labels right."
)
LOSS_HIGH = Metric(
    "raypipe_loss_high", "gauge", "The mean loss of matured answers, were all missing labels wrong."
)
HARM_NEARNESS = Metric(
    "raypipe_harm_nearness",
    "gauge",
    "How far the evidence of harm is on the way to an alarm, from 0 to 1; by slice, empty for all.",
    ("pipeline", "slice"),
)
COVERAGE = Metric("raypipe_label_coverage_ratio", "gauge", "The share of matured answers with a label.")
EVER_LABELLED = Metric(
    "raypipe_ever_labelled_ratio", "gauge", "The estimated share of answers that ever get a label."
)
DELAY_P50 = Metric("raypipe_label_delay_p50_s", "gauge", "Half of the labels come within so many seconds.")
DELAY_P95 = Metric("raypipe_label_delay_p95_s", "gauge", "95% of the labels come within so many seconds.")
ESTIMATED = Metric("raypipe_estimated_loss", "gauge", "A loss that was estimated, not measured.", _BY_LOSS)
ESTIMATED_LOW = Metric(
    "raypipe_estimated_loss_low", "gauge", "The lower end of the estimate's 95% interval.", _BY_LOSS
)
ESTIMATED_HIGH = Metric(
    "raypipe_estimated_loss_high", "gauge", "The upper end of the estimate's 95% interval.", _BY_LOSS
)
JOINT_AUC = Metric(
    "raypipe_joint_auc",
    "gauge",
    "How well a classifier tells live rows from training rows: 0.5 not at all, 1 always. Advisory.",
)
UNIT_FACTOR = Metric(
    "raypipe_unit_factor", "gauge", "How many times its old values a drifted input has.", _BY_COLUMN
)
SIGNAL_METRICS = (
    JOINT_AUC,
    UNIT_FACTOR,
    DRIFT_NEARNESS,
    OUTPUT_NEARNESS,
    OUTPUT_PSI,
    LOSS,
    LOSS_RELEASE,
    LOSS_BOUND,
    LOSS_LOW,
    LOSS_HIGH,
    HARM_NEARNESS,
    COVERAGE,
    EVER_LABELLED,
    DELAY_P50,
    DELAY_P95,
    ESTIMATED,
    ESTIMATED_LOW,
    ESTIMATED_HIGH,
)


def signal_samples(name: str, found: Signals) -> Iterator[Sample]:
    """Yield what is shown of the signals of a pipeline's champion."""
    for one in found.inputs[:MAX_COLUMNS]:
        yield DRIFT_NEARNESS.of(one.nearness, name, one.column)
    for one in found.outputs:
        yield OUTPUT_NEARNESS.of(one.nearness, name, one.column)
        yield OUTPUT_PSI.of(one.psi, name, one.column)
    if found.harm is not None:
        yield from _harm(name, found.harm)
    for harm in (*((found.harm,) if found.harm else ()), *found.slices[:MAX_COLUMNS]):
        yield HARM_NEARNESS.of(harm.nearness, name, harm.of)
    if found.matured is not None:
        yield from _matured(name, found.matured)
    if found.estimated is not None:
        yield from _estimated(name, found.estimated)
    yield from _advice(name, found)


def _advice(name: str, found: Signals) -> Iterator[Sample]:
    if found.joint is not None:
        yield JOINT_AUC.of(found.joint.auc, name)
    for one in found.units[:MAX_COLUMNS]:
        yield UNIT_FACTOR.of(one.factor, name, one.column)


def _harm(name: str, harm: HarmEvidence) -> Iterator[Sample]:
    yield LOSS.of(harm.loss, name)
    yield LOSS_RELEASE.of(harm.at_release, name)
    yield LOSS_BOUND.of(harm.bound, name)


def _matured(name: str, found: Matured) -> Iterator[Sample]:
    yield LOSS_LOW.of(found.low, name)
    yield LOSS_HIGH.of(found.high, name)
    yield COVERAGE.of(found.n_labelled / found.n_answers if found.n_answers else None, name)
    yield EVER_LABELLED.of(found.ever_labelled_ratio, name)
    yield DELAY_P50.of(found.delay_p50_s, name)
    yield DELAY_P95.of(found.delay_p95_s, name)


def _estimated(name: str, found: EstimatedQuality) -> Iterator[Sample]:
    tags = name, found.loss, found.basis
    yield ESTIMATED.of(found.value, *tags)
    yield ESTIMATED_LOW.of(found.low, *tags)
    yield ESTIMATED_HIGH.of(found.high, *tags)
