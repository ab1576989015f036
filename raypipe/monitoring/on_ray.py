"""Samples to Ray's metrics, which each node offers to Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

from ray.util.metrics import Counter, Gauge

from raypipe.monitoring.samples import Metric, Sample

_Key: TypeAlias = tuple[Metric, tuple[str, ...]]


class RayMetrics:
    """Exports samples from this process; one thread at a time.

    Ray forgets no series while its process lives: a gauge that is exported no more becomes NaN, so that no
    page shows what was once.
    """

    def __init__(self) -> None:
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._shown: set[_Key] = set()
        self._counted: dict[_Key, float] = {}

    def export(self, samples: Iterable[Sample]) -> None:
        """Set each gauge, and add to each counter what came since the last time."""
        shown = set()
        for sample in samples:
            if sample.metric.kind == "counter":
                self._count(sample)
            else:
                shown.add((sample.metric, sample.tags))
                self._show(sample.metric, sample.tags, sample.value)
        for metric, tags in self._shown - shown:
            self._show(metric, tags, None)
        self._shown = shown

    def _show(self, metric: Metric, tags: tuple[str, ...], value: float | None) -> None:
        if metric.name not in self._gauges:
            self._gauges[metric.name] = Gauge(metric.name, metric.description, metric.tags)
        self._gauges[metric.name].set(math.nan if value is None else value, _named(metric, tags))

    def _count(self, sample: Sample) -> None:
        metric, key = sample.metric, (sample.metric, sample.tags)
        more = (sample.value or 0.0) - self._counted.get(key, 0.0)
        if more <= 0:
            return
        if metric.name not in self._counters:
            self._counters[metric.name] = Counter(metric.name, metric.description, metric.tags)
        self._counters[metric.name].inc(more, _named(metric, sample.tags))
        self._counted[key] = sample.value or 0.0


def _named(metric: Metric, tags: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.tags, tags, strict=True))
