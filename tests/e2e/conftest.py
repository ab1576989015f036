"""Projects as a person has them: a folder with a config and rows, a home, a Ray of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from raypipe.api.pipeline import Pipeline, load

RAYPIPE = (sys.executable, "-c", "from raypipe.cli.main import main; main()")


@dataclass(frozen=True)
class Project:
    """A project that is up."""

    config: Path
    up: dict[str, Any]

    def command(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Any:
        """Run a command as a person does, and return its JSON, or what it said where it failed."""
        done = raypipe(*arguments, str(self.config), "--json", stdin=stdin)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    @property
    def pipeline(self) -> Pipeline:
        return load(self.config)


def raypipe(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAYPIPE, *arguments], input=stdin, capture_output=True, text=True, timeout=240, check=False
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def started(more: str, edit: Callable[[str], str]) -> Iterator[Project]:
    """Bring up what `raypipe init` wrote, with `more` config below and `edit` done to it; end it after."""
    folder = Path(tempfile.mkdtemp(prefix="rp-e2e-", dir="/tmp"))
    config = folder / "project" / "raypipe.yaml"
    assert raypipe("init", str(config.parent)).returncode == 0
    text = config.read_text().replace("${RAYPIPE_HOME:-~/.raypipe}", str(folder / "home"))
    text = text.replace("port: 8000", f"port: {free_port()}\n  capture: {{commit_interval_s: 0.5}}")
    config.write_text(edit(text) + more)
    try:
        done = raypipe("up", str(config), "--json")
        assert done.returncode == 0, done.stderr
        yield Project(config, json.loads(done.stdout))
    finally:
        raypipe("down", str(config))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def within() -> Callable[[float, Callable[[], bool]], bool]:
    """Return a function that waits for something that shall come to be so."""

    def wait(seconds: float, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.1)
        return condition()

    return wait


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A project with two CPUs and four trials."""
    with started("\ncluster: {cpus: 2}\n", lambda text: text.replace("trials: 9", "trials: 4")) as up:
        yield up


@pytest.fixture(scope="module")
def drifting() -> Iterator[Project]:
    """A project whose controller retrains when live quality falls."""
    policy = """
cluster: {cpus: 2}
monitoring: {window_rows: 600, window_labels: 300, min_labels: 150}
retraining:
  triggers: {quality_bound: 0.85}
  warm_up_labels: 200
  cool_down_s: 5
  gate: {min_rows: 80, max_rows: 150}
"""
    changes = {
        "families: [linear, xgboost, torch]": "families: [xgboost]",
        "trials: 9": "trials: 3",
        # So seldom that a promotion counts only where the controller's broadcast reaches the replica.
        "  capture:": "  poll_interval_s: 60\n  capture:",
    }

    def edit(text: str) -> str:
        return reduce(lambda done, change: done.replace(*change), changes.items(), text)

    with started(policy, edit) as up:
        yield up


@pytest.fixture(scope="module")
def rolling_out() -> Iterator[Project]:
    """A project whose challengers go through a shadow and a canary."""
    policy = """
cluster: {cpus: 2}
monitoring: {window_rows: 600, window_labels: 300, min_labels: 150}
retraining:
  triggers: {quality_bound: 0.85}
  warm_up_labels: 200
  cool_down_s: 5
  gate: {min_rows: 80, max_rows: 150, margin: 0.2}
  rollout:
    shadow: {share: 1.0, margin: 0.1}
    canary: {weights: [0.3], hold_s: 1, tolerance: 3.0, harm: 3.0, slow_ms: 5000}
"""
    changes = {"families: [linear, xgboost, torch]": "families: [xgboost]", "trials: 9": "trials: 3"}

    def edit(text: str) -> str:
        return reduce(lambda done, change: done.replace(*change), changes.items(), text)

    with started(policy, edit) as up:
        yield up
