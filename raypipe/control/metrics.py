"""What the controller shows of a pipeline: its live quality, its drift, its phase and its decisions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import get_args

from raypipe.control.events import Fact, GateJudged, RetrainFailed, RetrainLost
from raypipe.control.ledger import read_facts
from raypipe.control.nearness import TRIGGER
from raypipe.control.signal_metrics import MAX_COLUMNS, SIGNAL_METRICS, signal_samples
from raypipe.control.state import Phase, State
from raypipe.control.traffic import read_window
from raypipe.core.home import PipelineHome
from raypipe.monitoring.report import WindowReport
from raypipe.monitoring.samples import Metric, Sample
from raypipe.registry.store import Registry

VERDICTS = ("pass", "fail", "inconclusive", "failed", "lost")
"""What becomes of a decision: the gate's verdict, or why there was nothing to judge."""

_BY_METRIC = ("pipeline", "metric")
QUALITY = Metric(
    "raypipe_live_quality", "gauge", "The champion's score on its newest labelled rows.", _BY_METRIC
)
QUALITY_LOW = Metric(
    "raypipe_live_quality_low", "gauge", "The lower end of the live score's 95% interval.", _BY_METRIC
)
QUALITY_HIGH = Metric(
    "raypipe_live_quality_high", "gauge", "The upper end of the live score's 95% interval.", _BY_METRIC
)
PSI = Metric(
    "raypipe_drift_psi", "gauge", "How far an input lies from the training rows.", ("pipeline", "column")
)
MISSING = Metric(
    "raypipe_missing_ratio", "gauge", "The share of the newest rows without a value.", ("pipeline", "column")
)
UNSEEN = Metric(
    "raypipe_unseen_ratio",
    "gauge",
    "The share of the newest rows with a category, or outside the range, that no training row had.",
    ("pipeline", "column"),
)
CAPTURE_LAG = Metric(
    "raypipe_capture_lag_s", "gauge", "How old the newest answer was when the controller first saw it."
)
DRIFTED = Metric("raypipe_drifted_columns", "gauge", "How many inputs have drifted, of all of them.")
STORED = Metric("raypipe_stored_predictions", "gauge", "Answered rows in the table `predictions`.")
LABELLED = Metric("raypipe_labelled_rows", "gauge", "Answered rows whose label has come.")
PHASE = Metric(
    "raypipe_controller_phase", "gauge", "1 for the phase the controller is in.", ("pipeline", "phase")
)
EPOCH = Metric("raypipe_controller_epoch", "gauge", "The epoch of the newest controller.")
CHAMPION_EPOCH = Metric("raypipe_champion_epoch", "gauge", "The epoch of the champion's release.")
DECISIONS = Metric(
    "raypipe_decisions", "gauge", "Retrains in the ledger by what became of them.", ("pipeline", "verdict")
)
METRICS = (
    QUALITY,
    QUALITY_LOW,
    QUALITY_HIGH,
    PSI,
    MISSING,
    UNSEEN,
    CAPTURE_LAG,
    DRIFTED,
    STORED,
    LABELLED,
    PHASE,
    EPOCH,
    CHAMPION_EPOCH,
    DECISIONS,
    *SIGNAL_METRICS,
    TRIGGER,
)


class PipelineSamples:
    """Reads what a controller's state leaves out: the last window's report, the verdicts in the ledger."""

    def __init__(self, folder: PipelineHome, registry: Registry) -> None:
        self._folder = folder
        self._registry = registry
        self._seq = 0
        self._verdicts: dict[str, str] = {}

    def read(self, state: State) -> tuple[Sample, ...]:
        """Return the samples of now."""
        for seq, fact in read_facts(self._registry, state.pipeline, after_seq=self._seq):
            self._seq = seq
            self._verdicts.update(verdict_of(fact))
        return tuple(samples(state, read_window(self._folder), Counter(self._verdicts.values())))


def samples(state: State, window: WindowReport | None, verdicts: Mapping[str, int]) -> Iterator[Sample]:
    """Yield everything that is shown of a pipeline; `window` is None while nothing was measured."""
    name = state.pipeline
    for phase in get_args(Phase):
        yield PHASE.of(float(isinstance(state.phase, phase)), name, _snake(phase.__name__))
    yield EPOCH.of(state.controller, name)
    yield CHAMPION_EPOCH.of(state.champion_epoch, name)
    for verdict in VERDICTS:
        yield DECISIONS.of(verdicts.get(verdict, 0), name, verdict)
    if window is not None:
        yield from _window(name, window)


def verdict_of(fact: Fact) -> dict[str, str]:
    """Return the decision that a fact ends or judges, and how; empty for a fact that does neither."""
    match fact:
        case GateJudged(decision=decision, verdict=verdict):
            return {decision: verdict}
        case RetrainFailed(decision=decision):
            return {decision: "failed"}
        case RetrainLost(decision=decision):
            return {decision: "lost"}
        case _:
            return {}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _window(name: str, window: WindowReport) -> Iterator[Sample]:
    yield STORED.of(window.labels.n_predictions, name)
    yield LABELLED.of(window.n_labels, name)
    yield DRIFTED.of(len(window.drifted), name)
    yield CAPTURE_LAG.of(window.capture_lag_s, name)
    for one in window.drift[:MAX_COLUMNS]:
        yield PSI.of(one.psi, name, one.column)
        yield MISSING.of(one.missing_ratio, name, one.column)
        yield UNSEEN.of(one.unseen_ratio, name, one.column)
    if window.signals is not None:
        yield from signal_samples(name, window.signals)
    if window.quality is not None:
        metric = window.quality.metric
        yield QUALITY.of(window.quality.value, name, metric)
        yield QUALITY_LOW.of(window.quality.low, name, metric)
        yield QUALITY_HIGH.of(window.quality.high, name, metric)
