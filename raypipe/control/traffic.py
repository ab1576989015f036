"""Live traffic as the controller sees it: the tables of captured rows, measured when they have grown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from raypipe.control.events import Harm, Quality, WindowScored
from raypipe.control.level import Level
from raypipe.core.clock import Clock
from raypipe.core.errors import ArtifactError, UnknownVersion
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import Captured, Fold, Position
from raypipe.monitoring.graded import read_graded
from raypipe.monitoring.reference import read_reference
from raypipe.monitoring.report import JointEvidence, WindowReport
from raypipe.monitoring.watch import Watch
from raypipe.registry.manifest import read_manifest
from raypipe.registry.store import Registry
from raypipe.stats.metrics import METRICS
from raypipe.training.task import Task


class CapturedTraffic:
    """Measures the tables `predictions` and `labels` of a pipeline against its champion's training rows.

    `events` shows the time by which replicas date answers and labels, where that is another than the
    controller's: how old an answer is tells which labels should have come.
    """

    def __init__(
        self,
        folder: PipelineHome,
        registry: Registry,
        settings: MonitoringSettings,
        events: Clock | None = None,
    ) -> None:
        self._events = events
        self._folder = folder
        self._registry = registry
        self._settings = settings
        self._fold = Fold(folder, settings, self._known)
        self._seen: tuple[str, Position] | None = None
        self._watches: dict[str, Watch] = {}
        self._waits_until: datetime | None = None

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        """Return the newest window, and keep its report beside; None where nothing has come since."""
        seen, shown = (champion, self._fold.follow()), at
        at = shown if self._events is None else self._events.now()
        if seen == self._seen and not self._ripens(at):
            return None
        captured, watch = self._fold.read(champion, at), self._watch(champion)
        report = look(captured, watch, champion, at, self._settings, self._looked(champion))
        write_json(self._folder.window, report.to_json())
        self._seen, self._waits_until = seen, captured.ripe_at
        return replace(scored(report), at=shown)

    def _looked(self, champion: str) -> JointEvidence | None:
        """Return what the last look at all inputs together found, by whichever controller."""
        before = read_window(self._folder)
        if before is None or before.version != champion or before.signals is None:
            return None
        return before.signals.joint

    def _ripens(self, at: datetime) -> bool:
        """Return whether answers have become old enough to be taken, though nothing has come."""
        return self._waits_until is not None and at >= self._waits_until

    def _watch(self, version: str) -> Watch:
        """Return what a version is compared with, read once."""
        if version not in self._watches:
            place = self._folder.model(version)
            registered = self._registry.model_version(self._folder.name, version)
            task = Task.from_json(read_manifest(place, registered.manifest_sha256).task)
            self._watches[version] = Watch(
                task, read_reference(place), read_graded(place), nth_version(version)
            )
        return self._watches[version]

    def _known(self, version: str) -> Watch | None:
        try:
            return self._watch(version)
        except (ArtifactError, UnknownVersion):
            return None  # A version that was removed: its rows are counted no more.


def look(
    captured: Captured,
    watch: Watch,
    version: str,
    at: datetime,
    settings: MonitoringSettings,
    looked: JointEvidence | None,
) -> WindowReport:
    """Return what the captured rows show of a version; `looked` is the last look at all inputs together."""
    from raypipe.monitoring.signals import newest_answers, signals
    from raypipe.monitoring.window import measure

    tables = captured.predictions, captured.labels
    newest = newest_answers(*tables, version, settings.window_rows)
    found = signals(watch, captured.lives, captured.delays, newest, settings, now=at, looked=looked)
    return measure(
        watch.inputs,
        watch.task,
        *tables,
        settings,
        version=version,
        at=at,
        counts=captured.counts,
        signals=found,
    )


def nth_version(version: str) -> int:
    """Return a version's place among all of its pipeline, from 1 on.

    >>> nth_version("v3")
    3
    """
    return int(version.removeprefix("v"))


def scored(report: WindowReport) -> WindowScored:
    """Return what the controller decides on, from a window's report."""
    return WindowScored(
        report.at,
        report.version,
        report.n_labels,
        quality_of(report),
        report.drifted,
        _harm(report),
        None if report.signals is None else report.signals.decay,
        _level(report),
    )


def read_window(folder: PipelineHome) -> WindowReport | None:
    """Return the report that the controller kept last; None where it has measured nothing yet."""
    try:
        return WindowReport.from_json(json.loads(folder.window.read_bytes()))
    except FileNotFoundError:
        return None


def _harm(report: WindowReport) -> Harm | None:
    """Return the evidence that counts: of all answers, or else of the slices that are harmed, worst first."""
    found = report.signals
    if found is None or found.harm is None:
        return None
    if found.harm.harmed:
        whole = found.harm
        return Harm(whole.loss, whole.at_release, whole.bound, whole.n_labels)
    slices = sorted((one for one in found.slices if one.harmed), key=lambda one: -one.log_evidence)
    if not slices:
        return None
    worst = slices[0]
    return Harm(worst.loss, worst.at_release, worst.bound, worst.n_labels, tuple(one.of for one in slices))


def _level(report: WindowReport) -> Level | None:
    found = None if report.signals is None else report.signals.release
    if found is None:
        return None
    larger = METRICS[found.metric].larger_is_better
    return Level(report.version, found.metric, larger, found.value, found.low, found.high)


def quality_of(report: WindowReport) -> Quality | None:
    """Return the live score that the controller decides on; None without one."""
    found = report.quality
    if found is None:
        return None
    larger = METRICS[found.metric].larger_is_better
    return Quality(found.metric, larger, found.value, found.low, found.high, found.n_labels)
