"""kill -9 of a controller's process at any moment: each decision is carried out once, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from raypipe.control.events import (
    Fact,
    GateJudged,
    Promoted,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import read_facts
from raypipe.control.receipts import receipts
from raypipe.core.clock import SystemClock
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry

N_VERSIONS, N_KILLS = 100, 5
ONCE = (RetrainDecided, RetrainSubmitted, RetrainSucceeded, GateJudged, Promoted)
CONTROLLER = """
import sys
import time
from pathlib import Path
from raypipe.control.controller import Controller, Ports
from raypipe.control.events import Quality, WindowScored
from raypipe.control.outcome import Retrained
from raypipe.core.clock import SystemClock
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.store import Registry
from raypipe.training.compare import Comparison

home = Path(sys.argv[1])
registry = Registry(f"sqlite:///{home / 'r.db'}", SystemClock())
settings = RetrainingSettings.model_validate(
    {"triggers": {"quality_bound": 0.9}, "warm_up_labels": 0, "cool_down_s": 0, "max_per_day": 10_000}
)

class World:
    '''Every version is bad; the job of a decision is a line in a file, and makes the next version.'''

    def submit(self, decision):
        if self.state(decision) == "unknown":
            with (home / "jobs").open("a") as jobs:
                jobs.write(decision + "\\n")

    def state(self, decision):
        jobs = home / "jobs"
        known = jobs.read_text().splitlines() if jobs.exists() else []
        return "succeeded" if decision in known else "unknown"

    def stop(self, decision):
        raise AssertionError(decision)

    def result(self, decision):
        n = int(decision.rpartition("-")[2])
        better = Comparison("auc", f"v{n}", f"v{n + 1}", 400, 0.6, 0.8, 0.2, 0.1, 0.3)
        return Retrained(f"v{n + 1}", "d-2", "d-1", "linear", {}, 1.0, better)

    def measure(self, champion, at):
        return WindowScored(at, champion, 500, Quality("auc", True, 0.6, 0.5, 0.7, 500))

    def promote(self, version, expected, reason, controller):
        if registry.alias("p", "champion") != version:
            registry.set_alias(
                "p", "champion", version, expected=expected, reason=reason, controller=controller
            )
        return registry.alias_history("p", "champion")[0].epoch

    def send(self, key, text, evidence):
        return True

world = World()
controller = Controller("p", settings, registry, SystemClock(), Ports(world, world, world, world))
controller.start()
print("up", flush=True)
while registry.alias("p", "champion") != sys.argv[2]:
    controller.tick()
time.sleep(60)
"""


def registered(home: Path) -> Registry:
    """Return a registry whose champion is the first of many versions."""
    registry = Registry(f"sqlite:///{home / 'r.db'}", SystemClock())
    for number in range(1, N_VERSIONS + 1):
        staged = home / "staging" / str(number)
        staged.mkdir(parents=True)
        draft = ManifestDraft("p", "d-1", f"r-{number}", None, "linear", "json", {}, None, {})
        registry.register("p", staged, home / "models", draft)
    registry.set_alias("p", "champion", "v1", reason="the first")
    return registry


def killed_after(home: Path, registry: Registry, pause_s: float) -> None:
    """Let a controller bring a decision to its end and go on for a moment, and kill it."""
    before = registry.alias("p", "champion")
    command = [sys.executable, "-c", CONTROLLER, str(home), f"v{N_VERSIONS}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        while registry.alias("p", "champion") == before:
            time.sleep(0.005)
        time.sleep(pause_s)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_controller_killed_again_and_again_carries_out_each_decision_once(tmp_path: Path) -> None:
    registry = registered(tmp_path)
    for n in range(N_KILLS):
        killed_after(tmp_path, registry, 0.037 * n)
    facts: list[Fact] = [fact for _, fact in read_facts(registry, "p")]
    *done, last = receipts(facts, "p")
    assert len(done) >= N_KILLS, "or else the kills struck nothing"
    assert [receipt.decision for receipt in (*done, last)] == [
        f"p-retrain-{n}" for n in range(1, len(done) + 2)
    ]
    assert {receipt.ending for receipt in done} == {"promoted"}
    counts = Counter((type(fact), fact.decision) for fact in facts if isinstance(fact, ONCE))
    assert set(counts.values()) == {1}
    assert all(counts[kind, receipt.decision] == 1 for receipt in done for kind in ONCE)

    jobs = (tmp_path / "jobs").read_text().splitlines()
    assert len(jobs) == len(set(jobs)) and set(jobs) >= {receipt.decision for receipt in done}
    champions = [change.version for change in reversed(registry.alias_history("p", "champion"))]
    assert champions == [f"v{n}" for n in range(1, len(champions) + 1)]
