"""A node's metrics page, as Prometheus scrapes it, shows the pipeline and its endpoint."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from raypipe.control.metrics import METRICS
from raypipe.serving.metrics import LABELS, NOT_CAPTURED, REFUSED
from raypipe.serving.metrics import METRICS as SERVING_METRICS

UNCOUNTED = (REFUSED, LABELS, NOT_CAPTURED)
"""Counters that stay at 0 in this test: Prometheus sees a counter from its first count on."""

SCRAPE = """
import shutil, sys, tempfile, time
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import ray
from ray import serve

from raypipe.config.load import parse_config
from raypipe.control.events import RetrainLost
from raypipe.control.ledger import record
from raypipe.control.on_ray import start_controller, stop_controller
from raypipe.core.clock import SystemClock
from raypipe.core.files import write_json
from raypipe.monitoring.report import FeatureDrift, LabelCounts, LiveQuality, WindowReport
from raypipe.registry.store import Registry
from raypipe.serving import client
from raypipe.serving.on_ray import deploy
from raypipe.serving.pointer import write_pointer
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.monitoring import some_signals
from raypipe.testing.serving import write_tiny_version

home, port, wanted = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
config = parse_config(
    {
        "name": "tiny",
        "home": str(home),
        "data": {"sources": [{"name": "rows", "format": "csv", "path": "rows.csv"}], "label": "outcome"},
        "serving": {"port": port},
        "retraining": {"tick_s": 0.2, "triggers": {"new_labels": 1000}},
    },
    home,
)
config.root.prepare()
config.folder.root.mkdir(parents=True, exist_ok=True)
at = datetime(2026, 1, 1, tzinfo=UTC)
record(Registry(config.root.registry_url, SystemClock()), "tiny", RetrainLost(at, "tiny-retrain-1"))
drift = (FeatureDrift("amount", 0.5, 0.1, 1000, 0.0, 0.0, True),)
quality = LiveQuality("auc", 0.75, 0.7, 0.8, 400, 0, ())
counts = LabelCounts(n_predictions=1200)
report = WindowReport(at, "v1", 1000, 400, quality, drift, counts, some_signals(), 1.5)
write_json(config.folder.window, report.to_json())

folder = tempfile.mkdtemp(prefix="rp", dir="/tmp")
ray.init(
    address="local",
    num_cpus=2,
    include_dashboard=False,
    object_store_memory=100_000_000,
    _temp_dir=folder,
    _system_config={"metrics_report_interval_ms": 500},
    log_to_driver=False,
)
try:
    spec = EndpointSpec("tiny", home, config.serving)
    write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
    deploy(spec)
    start_controller(config, "")
    row = {"amount": 1, "size": 3, "colour": "red", "member": True}
    client.predict(spec.url, {"rows": [row, {**row, "size": "large"}]})
    metrics_port = ray.nodes()[0]["MetricsExportPort"]
    deadline, text = time.monotonic() + 60, ""
    while time.monotonic() < deadline and not all(name in text for name in wanted):
        time.sleep(0.5)
        with urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as page:
            text = page.read().decode()
    print("\\n".join(line for line in text.splitlines() if line.startswith("ray_raypipe_")))
finally:
    stop_controller("tiny")
    serve.shutdown()
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], float]:
    """Return the values that a node offers, by name and the text of the tags."""
    home = tmp_path_factory.mktemp("home")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    wanted = {metric.scraped_name for metric in (*METRICS, *SERVING_METRICS) if metric not in UNCOUNTED}
    done = subprocess.run(
        [sys.executable, "-c", SCRAPE, str(home), str(port), *sorted(wanted)],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for line in (line for line in done.stdout.splitlines() if line.startswith("ray_raypipe_")):
        series, value = line.rsplit(" ", 1)
        name, _, tags = series.partition("{")
        found[name, tags] = float(value)
    assert wanted <= {name for name, _ in found}, json.dumps(sorted(name for name, _ in found))
    return found


def value(page: dict[tuple[str, str], float], name: str, *tags: str) -> float:
    found = [
        number for (each, text), number in page.items() if each == name and all(tag in text for tag in tags)
    ]
    assert len(found) == 1, found
    return found[0]


def test_the_live_quality_with_its_interval(page: dict[tuple[str, str], float]) -> None:
    tags = ('pipeline="tiny"', 'metric="auc"')
    assert value(page, "ray_raypipe_live_quality", *tags) == 0.75
    assert value(page, "ray_raypipe_live_quality_low", *tags) == 0.7
    assert value(page, "ray_raypipe_live_quality_high", *tags) == 0.8


def test_drift_by_column(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_drift_psi", 'pipeline="tiny"', 'column="amount"') == 0.5
    assert value(page, "ray_raypipe_drifted_columns") == 1


def test_signals_with_what_is_estimated_marked_so(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_harm_nearness", 'slice="car = bus"') == 1.0
    assert value(page, "ray_raypipe_estimated_loss", 'loss="error"', 'basis="estimated"') == 0.11


def test_how_far_a_trigger_is(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_trigger_nearness", 'trigger="labels"') == 0.0


def test_rows_and_labels(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_stored_predictions") == 1200
    assert value(page, "ray_raypipe_labelled_rows") == 400


def test_phase_epoch_and_decisions(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_controller_phase", 'phase="watching"') == 1
    assert value(page, "ray_raypipe_controller_phase", 'phase="retraining"') == 0
    assert value(page, "ray_raypipe_controller_epoch") == 1
    assert value(page, "ray_raypipe_decisions", 'verdict="lost"') == 1
    assert value(page, "ray_raypipe_decisions", 'verdict="pass"') == 0


def test_requests_and_rows(page: dict[tuple[str, str], float]) -> None:
    assert value(page, "ray_raypipe_requests_total", 'pipeline="tiny"') == 1
    assert value(page, "ray_raypipe_rows_total") == 2
    assert value(page, "ray_raypipe_failed_rows_total") == 1
    assert value(page, "ray_raypipe_captured_rows_total") == 1
