"""What a version answers to recorded rows, folded and measured as captured traffic is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from raypipe.backtest.learner import Fit
from raypipe.backtest.stream import Stream
from raypipe.control.events import WindowScored
from raypipe.control.traffic import look, nth_version, scored
from raypipe.data.replay import requests
from raypipe.data.roles import CHAMPION
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold_memory import MemoryFold
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import JointEvidence
from raypipe.monitoring.watch import Watch
from raypipe.serving.grading import grade
from raypipe.training.models import Float64Array


class RowTexts:
    """The rows of each look as requests bring them, written once however many policies play them."""

    def __init__(self, stream: Stream, label: str) -> None:
        self._stream = stream
        self._label = label
        self._inputs: dict[int, list[str]] = {}

    def inputs(self, start: int, end: int) -> list[str]:
        """Return rows as JSON, without their label."""
        if start not in self._inputs:
            names = [name for name in self._stream.rows.column_names if name != self._label]
            rows = requests(self._stream.rows.slice(start, end - start), names, end - start)
            self._inputs[start] = [msgspec.json.encode(row).decode() for part in rows for row in part]
        return self._inputs[start]

    def labels(self, start: int, end: int) -> list[str]:
        """Return labels as JSON."""
        values = self._stream.rows[self._label].slice(start, end - start).to_pylist()
        return [json.dumps(value, ensure_ascii=False) for value in values]


@dataclass
class RecordedTraffic:
    """The answers of versions to recorded rows, and the labels that came for them."""

    stream: Stream
    texts: RowTexts
    settings: MonitoringSettings

    def __post_init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self._fold = MemoryFold(self.settings, self._watches.get)
        self._n_labelled = self.stream.n_history
        self._n_answered = self.stream.n_history
        self._seen: tuple[str, int] | None = None
        self._joint: dict[str, JointEvidence | None] = {}

    def watch(self, version: str, fit: Fit) -> None:
        """Compare what a version answers from now on with the rows that it was trained and judged on."""
        inputs, split = fit.prepared.transform.inputs, fit.prepared.split
        reference = Reference.of(fit.prepared.profile, inputs)
        graded = grade(fit.predictor, split, reference, self.settings.slices)
        self._watches[version] = Watch(fit.prepared.task, reference, graded, nth_version(version))

    def take(self, start: int, end: int, version: str, fit: Fit, raw: Float64Array) -> None:
        """Take in the answers to the rows of a look, and the labels that are there by its end."""
        self._fold.take(self._answers(start, end, version, fit, raw), self._labels(end))
        self._n_answered = end

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        """Return what is seen of the champion; None where nothing has come since the last look at it."""
        seen = (champion, self._n_answered)
        if seen == self._seen:
            return None
        self._seen = seen
        found = self._fold.read(champion, at)
        report = look(found, self._watches[champion], champion, at, self.settings, self._joint.get(champion))
        self._joint[champion] = None if report.signals is None else report.signals.joint
        return scored(report)

    def _answers(
        self, start: int, end: int, version: str, fit: Fit, raw: Float64Array
    ) -> Mapping[str, list[Any]]:
        classes = fit.prepared.task.classes
        finite = np.flatnonzero(np.isfinite(raw.reshape(len(raw), -1).sum(axis=1))).tolist()
        texts, times = self.texts.inputs(start, end), self.stream.times
        names = [json.dumps(value, ensure_ascii=False) for value in classes]
        best = raw.argmax(axis=1).tolist() if classes else []
        values = raw.tolist()
        return {
            "id": [str(start + i) for i in finite],
            "at": [int(times[start + i]) for i in finite],
            "version": [version] * len(finite),
            "role": [CHAMPION] * len(finite),
            "inputs": [texts[i] for i in finite],
            "prediction": [names[best[i]] if classes else json.dumps(values[i]) for i in finite],
            "probabilities": [values[i] if classes else None for i in finite],
        }

    def _labels(self, n_answered: int) -> Mapping[str, list[Any]]:
        start, self._n_labelled = self._n_labelled, self.stream.known(n_answered)
        end = self._n_labelled
        came = self.stream.times[self.stream.arrivals[start:end] - 1]
        return {
            "prediction_id": [str(i) for i in range(start, end)],
            "label": self.texts.labels(start, end),
            "at": came.tolist(),
        }
