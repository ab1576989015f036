"""Live traffic as the controller sees it: the tables of captured rows, measured when they have grown."""

from __future__ import annotations

import json
from datetime import datetime

from raypipe.control.events import Quality, WindowScored
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import Fold, Position
from raypipe.monitoring.reference import Reference, read_reference
from raypipe.monitoring.report import WindowReport
from raypipe.registry.manifest import read_manifest
from raypipe.registry.store import Registry
from raypipe.stats.metrics import METRICS
from raypipe.training.task import Task


class CapturedTraffic:
    """Measures the tables `predictions` and `labels` of a pipeline against its champion's training rows."""

    def __init__(self, folder: PipelineHome, registry: Registry, settings: MonitoringSettings) -> None:
        self._folder = folder
        self._registry = registry
        self._settings = settings
        self._fold = Fold(folder, settings)
        self._seen: tuple[str, Position] | None = None
        self._loaded: tuple[str, Reference, Task] | None = None

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        """Return the newest window, and keep its report beside; None where nothing has come since."""
        from raypipe.monitoring.window import measure

        seen = (champion, self._fold.follow())
        if seen == self._seen:
            return None
        captured = self._fold.read(champion)
        reference, task = self._of(champion)
        report = measure(
            reference,
            task,
            captured.predictions,
            captured.labels,
            self._settings,
            version=champion,
            at=at,
            counts=captured.counts,
        )
        write_json(self._folder.window, report.to_json())
        self._seen = seen
        return scored(report)

    def _of(self, champion: str) -> tuple[Reference, Task]:
        """Return what a champion is measured against, read once."""
        if self._loaded is None or self._loaded[0] != champion:
            place = self._folder.model(champion)
            version = self._registry.model_version(self._folder.name, champion)
            task = Task.from_json(read_manifest(place, version.manifest_sha256).task)
            self._loaded = (champion, read_reference(place), task)
        return self._loaded[1:]


def scored(report: WindowReport) -> WindowScored:
    """Return what the controller decides on, from a window's report."""
    return WindowScored(report.at, report.version, report.n_labels, _quality(report), report.drifted)


def read_window(folder: PipelineHome) -> WindowReport | None:
    """Return the report that the controller kept last; None where it has measured nothing yet."""
    try:
        return WindowReport.from_json(json.loads(folder.window.read_bytes()))
    except FileNotFoundError:
        return None


def _quality(report: WindowReport) -> Quality | None:
    found = report.quality
    if found is None:
        return None
    larger = METRICS[found.metric].larger_is_better
    return Quality(found.metric, larger, found.value, found.low, found.high, found.n_labels)
