"""What the controller measures of captured rows: of a registered version, from the tables, told once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from raypipe.control.events import WindowScored
from raypipe.control.traffic import CapturedTraffic, read_window, scored
from raypipe.core.home import Home, PipelineHome
from raypipe.core.steady import SteadyClock
from raypipe.data.captured import (
    LabelRecord,
    PredictionRecord,
    label_schema,
    label_table,
    prediction_schema,
    prediction_table,
)
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.table import Write, commit, open_table
from raypipe.monitoring.config import HarmSettings, MonitoringSettings
from raypipe.monitoring.graded import Answered, graded, write_graded
from raypipe.monitoring.joint import Sample
from raypipe.monitoring.reference import Reference, write_reference
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, register_tiny_version

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SETTINGS = MonitoringSettings(harm=HarmSettings(mature_after_s=10.0))
ROWS = pa.table({"amount": np.random.default_rng(0).normal(size=3_000)})
REFERENCE = Reference.of(Profile.of_table(ROWS), schema_columns(ROWS.schema))
SAMPLE = Sample.of(REFERENCE, ROWS, seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("tiny")


@pytest.fixture
def registry(tmp_path: Path, folder: PipelineHome) -> Registry:
    """Return a registry with v1, which was wrong on one graded row of ten."""
    found = Registry(f"sqlite:///{tmp_path / 'r.db'}", FakeClock())
    register_tiny_version(found, folder)
    raw = np.tile([0.25, 0.75], (3_000, 1))
    answered = Answered(raw, (np.arange(3_000) % 10 > 0).astype(np.int64))
    write_reference(folder.model("v1"), REFERENCE)
    write_graded(folder.model("v1"), graded(TINY_TASK, answered, ROWS, Reference(()), SAMPLE))
    return found


def by_noon(i: int) -> datetime:
    """Return when the row of a number was answered: ten a second from noon on."""
    return NOON + timedelta(seconds=i / 10)


def capture(
    folder: PipelineHome,
    start: int,
    n: int,
    *,
    wrong_ratio: float,
    shift: float = 0.0,
    answered_at: Callable[[int], datetime] = by_noon,
) -> None:
    random = Random(start)
    answers, labels = [], []
    for i in range(start, start + n):
        at = answered_at(i)
        inputs = json.dumps({"amount": random.gauss(shift, 1)})
        answers.append(PredictionRecord(f"r{i}", at, "v1", "champion", inputs, "good", (0.25, 0.75)))
        truth = "bad" if random.random() < wrong_ratio else "good"
        labels.append(LabelRecord(f"r{i}", truth, at + timedelta(seconds=2)))
    tables = (
        (folder.predictions, prediction_schema(), prediction_table(answers)),
        (
            folder.labels,
            label_schema(),
            label_table(labels),
        ),
    )
    for path, schema, rows in tables:
        commit(open_table(path, schema), path, Write(rows, f"from-{start}"), mode="append")


def test_a_healthy_version_and_one_that_does_harm_on_drifted_inputs(
    folder: PipelineHome, registry: Registry
) -> None:
    traffic = CapturedTraffic(folder, registry, SETTINGS)
    capture(folder, 0, 1_000, wrong_ratio=0.1)
    late = NOON + timedelta(minutes=10)
    healthy = traffic.measure("v1", late)
    assert healthy is not None and healthy.harm is None and healthy.drifted == ()
    assert healthy.decay is not None and (healthy.decay.n_rows, healthy.decay.at_stake) == (1_000, 0.0)
    assert traffic.measure("v1", late) is None, "nothing has come, and nothing ripens"
    capture(folder, 1_000, 600, wrong_ratio=0.4, shift=1.0)
    harmed = traffic.measure("v1", late)
    assert harmed is not None and harmed.drifted == ("amount",)
    assert harmed.harm is not None
    assert (harmed.harm.at_release, harmed.harm.n_labels, harmed.harm.slices) == (0.1, 1_600, ())
    assert harmed.level is not None and harmed.level == healthy.level
    assert (harmed.level.version, harmed.level.metric, harmed.level.value) == ("v1", "auc", 0.5)
    assert harmed.decay is not None and harmed.decay.n_since == 600
    assert 200 < harmed.decay.marginal < 300, "the 1,000 before would have lost 0.3 more each"
    report = read_window(folder)
    assert report is not None and scored(report) == harmed
    assert report.signals is not None and report.signals.estimated is not None
    assert report.signals.estimated.basis == "estimated and corrected"
    again = CapturedTraffic(folder, registry, SETTINGS).measure("v1", late)
    assert again == harmed, "a controller that takes over sees the very same"


def windows(place: Path, registry: Registry, set_by: Mapping[int, float]) -> list[WindowScored]:
    """Return what ten looks find while the machine's clock is set before some, and then falls ill."""
    folder, machine = PipelineHome(place, "tiny"), FakeClock(NOON)
    replica, controller = (SteadyClock(machine, lambda: machine.uptime().seconds) for _ in range(2))
    traffic, found = CapturedTraffic(folder, registry, SETTINGS, controller), list[WindowScored]()

    def answered_at(_: int) -> datetime:
        machine.advance(0.1)
        return replica.now()

    for turn in range(10):
        machine.set_by(set_by.get(turn, 0.0))
        ill = turn > 7
        capture(
            folder,
            200 * turn,
            200,
            wrong_ratio=0.5 if ill else 0.1,
            shift=float(ill),
            answered_at=answered_at,
        )
        window = traffic.measure("v1", machine.now())
        assert window is not None and window.at == machine.now()
        found.append(replace(window, at=NOON))
    return found


@pytest.mark.parametrize("jumps", [{2: 3600.0, 5: -3600.0}, {3: -3600.0}])
def test_a_clock_that_is_set_by_an_hour_hides_no_window_and_raises_no_alarm(
    tmp_path: Path, folder: PipelineHome, registry: Registry, jumps: dict[int, float]
) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(folder.root, twin)
    quiet = windows(folder.root, registry, {})
    assert windows(twin, registry, jumps) == quiet
    assert [(one.drifted, one.harm) for one in quiet[:8]] == [((), None)] * 8
    assert quiet[-1].drifted == ("amount",) and quiet[-1].harm is not None


def test_answers_are_taken_when_they_ripen_though_nothing_comes(
    folder: PipelineHome, registry: Registry
) -> None:
    traffic = CapturedTraffic(folder, registry, SETTINGS)
    capture(folder, 0, 200, wrong_ratio=0.1)
    early = NOON + timedelta(seconds=19.8)
    assert traffic.measure("v1", early) is not None
    assert matured(folder) == 0
    assert traffic.measure("v1", early) is None
    assert traffic.measure("v1", early + timedelta(seconds=1)) is not None
    assert matured(folder) == 100
    assert traffic.measure("v1", early + timedelta(seconds=10.1)) is not None
    assert matured(folder) == 200


def test_live_quality_is_of_answers_that_are_as_old_as_labels_take(
    folder: PipelineHome, registry: Registry
) -> None:
    """Of younger ones the quick labels have come, and they may speak for few."""
    capture(folder, 0, 400, wrong_ratio=0.0)
    capture(folder, 400, 150, wrong_ratio=1.0)
    at = NOON + timedelta(seconds=52)
    CapturedTraffic(folder, registry, SETTINGS).measure("v1", at)
    report = read_window(folder)
    assert report is not None and report.quality is not None and report.signals is not None
    assert report.quality.n_labels == 421, "those up to 42 s"
    late = at + timedelta(seconds=60)
    CapturedTraffic(folder, registry, SETTINGS).measure("v1", late)
    report = read_window(folder)
    assert report is not None and report.quality is not None and report.quality.n_labels == 500


def matured(folder: PipelineHome) -> int:
    report = read_window(folder)
    assert report is not None and report.signals is not None and report.signals.matured is not None
    return report.signals.matured.n_answers
