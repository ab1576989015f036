"""What is shown of a pipeline, and that it stays few series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.control import metrics, signal_metrics
from raypipe.control.events import Evidence, Fact, GateJudged, RetrainFailed, RetrainLost
from raypipe.control.ledger import record
from raypipe.control.metrics import MAX_COLUMNS, METRICS, VERDICTS, PipelineSamples, samples, verdict_of
from raypipe.control.nearness import TRIGGER
from raypipe.control.state import Retraining, State, Watching
from raypipe.core.files import write_json
from raypipe.core.home import Home
from raypipe.monitoring.report import FeatureDrift, LabelCounts, LiveQuality, WindowReport
from raypipe.monitoring.samples import Metric, Sample
from raypipe.registry.store import Registry
from raypipe.serving.metrics import METRICS as SERVING_METRICS
from raypipe.testing import FakeClock
from raypipe.testing.monitoring import some_signals

AT = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = WindowReport(
    AT,
    "v1",
    n_rows=1000,
    n_labels=400,
    quality=LiveQuality("auc", 0.8, 0.75, None, 400, 0, ()),
    drift=(
        FeatureDrift("age", 0.3, 0.1, 1000, 0.0, 0.0, True),
        FeatureDrift("car", None, None, 0, 0.0, 0.0, False),
    ),
    labels=LabelCounts(n_predictions=1200, n_labelled=400),
    signals=some_signals(),
)
JUDGED = GateJudged(AT, "p-retrain-1", "v2", "v1", "pass", 300, controller=1)


def values(found: Sequence[Sample], metric: Metric) -> dict[tuple[str, ...], float | None]:
    """Return a metric's values by its tags without the pipeline's name."""
    return {sample.tags[1:]: sample.value for sample in found if sample.metric == metric}


def test_a_window() -> None:
    found = list(samples(State("p"), WINDOW, {}))
    assert values(found, metrics.QUALITY) == {("auc",): 0.8}
    assert values(found, metrics.QUALITY_LOW) == {("auc",): 0.75}
    assert values(found, metrics.QUALITY_HIGH) == {("auc",): None}
    assert values(found, metrics.PSI) == {("age",): 0.3, ("car",): None}
    assert values(found, signal_metrics.DRIFT_NEARNESS) == {("age",): 0.5}
    assert values(found, signal_metrics.OUTPUT_PSI) == {("answer.class",): 0.1}
    assert values(found, signal_metrics.HARM_NEARNESS) == {("",): 0.25, ("car = bus",): 1.0}
    assert values(found, signal_metrics.LOSS_BOUND) == {(): 0.12}
    assert values(found, signal_metrics.COVERAGE) == {(): 0.8}
    assert values(found, signal_metrics.ESTIMATED) == {("error", "estimated"): 0.11}
    assert {one.metric for one in found} == set(METRICS) - {TRIGGER}, "which the settings tell"
    assert values(found, metrics.DRIFTED) == {(): 1}
    assert values(found, metrics.STORED) == {(): 1200}
    assert values(found, metrics.LABELLED) == {(): 400}


def test_before_the_first_window() -> None:
    found = list(samples(State("p", controller=3, champion_epoch=2), None, {}))
    assert values(found, metrics.QUALITY) == {}
    assert values(found, metrics.EPOCH) == {(): 3}
    assert values(found, metrics.CHAMPION_EPOCH) == {(): 2}


@pytest.mark.parametrize(
    ("phase", "name"),
    [
        (Watching(), "watching"),
        (Retraining("p-retrain-1", "hand", Evidence(), AT, 0), "retraining"),
    ],
)
def test_one_phase_is_1_and_the_others_are_0(phase: Watching | Retraining, name: str) -> None:
    shown = values(list(samples(State("p", phase=phase), None, {})), metrics.PHASE)
    assert len(shown) == 8
    assert shown.pop((name,)) == 1
    assert set(shown.values()) == {0}


def test_many_columns_are_few_series() -> None:
    drift = tuple(FeatureDrift(f"c{k}", 1.0, None, 10, 0.0, 0.0, True) for k in range(500))
    window = WindowReport(AT, "v1", 10, 0, None, drift, LabelCounts())
    found = list(samples(State("p"), window, {}))
    assert len(values(found, metrics.PSI)) == MAX_COLUMNS
    assert values(found, metrics.DRIFTED) == {(): 500}


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (JUDGED, {"p-retrain-1": "pass"}),
        (RetrainFailed(AT, "d", "why"), {"d": "failed"}),
        (RetrainLost(AT, "d"), {"d": "lost"}),
    ],
)
def test_what_became_of_a_decision(fact: Fact, found: dict[str, str]) -> None:
    assert verdict_of(fact) == found
    assert set(found.values()) <= set(VERDICTS)


def test_reading_again_counts_nothing_twice(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'r.db'}", FakeClock())
    folder = Home(tmp_path).pipeline("p")
    folder.root.mkdir(parents=True, exist_ok=True)
    shown = PipelineSamples(folder, registry)
    assert values(shown.read(State("p")), metrics.DECISIONS) == {(verdict,): 0 for verdict in VERDICTS}
    for fact in (JUDGED, JUDGED, RetrainLost(AT, "p-retrain-2")):
        record(registry, "p", fact)
    write_json(folder.window, WINDOW.to_json())
    for _ in range(2):
        found = shown.read(State("p"))
        counts = values(found, metrics.DECISIONS)
        assert (counts["pass",], counts["lost",], counts["fail",]) == (1, 1, 0)
        assert values(found, metrics.LABELLED) == {(): 400}


def test_names_are_those_of_the_house_and_differ() -> None:
    names = [metric.name for metric in (*METRICS, *SERVING_METRICS)]
    assert len(set(names)) == len(names)
    assert all(name.startswith("raypipe_") for name in names)
    assert metrics.EPOCH.scraped_name == "ray_raypipe_controller_epoch"
    assert SERVING_METRICS[0].scraped_name == "ray_raypipe_requests_total"


def test_a_sample_has_its_tags() -> None:
    with pytest.raises(ValueError, match=r"raypipe_drift_psi takes the tags pipeline, column\. Got 1"):
        metrics.PSI.of(0.1, "p")
