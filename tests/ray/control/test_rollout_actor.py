"""What measures a rollout is an actor of its own, which comes back by itself and ends with the rollout."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.control.on_ray import NAMESPACE, EndpointRollout, gate_name, rollout_name
from raypipe.control.outcome import Retrained, write_result
from raypipe.core.clock import SystemClock
from raypipe.core.files import write_json
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.ingest import ingest
from raypipe.data.wal import WalWriter
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import Registry
from raypipe.serving.on_ray import Broadcast
from raypipe.serving.releases import Releases
from raypipe.stats.gains import Scale
from raypipe.testing.serving import register_tiny_version, tiny_model
from raypipe.training.compare import Comparison

pytestmark = pytest.mark.usefixtures("local_ray")

DECISION = "tiny-retrain-1"
ROW = '{"amount": 1.5, "size": 1, "colour": "red", "member": true, "seen": null}'


def set_up(place: Path) -> tuple[Config, EndpointRollout]:
    config = parse_config(
        {
            "name": "tiny",
            "home": "home",
            "data": {
                "sources": [{"name": "f", "format": "csv", "path": "rows.csv"}],
                "label": "outcome",
            },
            "retraining": {"tick_s": 0.1, "rollout": {"shadow": {"share": 1.0}}},
        },
        place,
    )
    config.root.prepare()
    clock = SystemClock()
    registry = Registry(config.root.registry_url, clock)
    for good in (0.6, 0.7):
        register_tiny_version(registry, config.folder, model=tiny_model(good))
    Releases(registry, config.folder).release("v1", expected=None, reason="the first")
    write_json(config.folder.config, config.model_dump(mode="json"))
    return config, EndpointRollout(Loop(config, registry, clock, no_compute), Broadcast("tiny"))


def answered(config: Config, stream: str, n: int) -> None:
    clock = SystemClock()
    writer = WalWriter(config.folder.wal, stream, clock)
    writer.open()
    for number in range(n):
        id_ = f"{stream}-{number}"
        answer = PredictionRecord(id_, clock.now(), "v1", "champion", ROW, "good", (0.4, 0.6))
        writer.append_all([encode(answer), encode(LabelRecord(id_, "good", clock.now()))])
    writer.close()
    commit_once(config.folder)


def n_labels(rollout: EndpointRollout, wanted: int) -> int:
    """Wait until so many labelled rows were compared."""
    found = 0
    for _ in range(600):
        evidence = rollout.evidence(DECISION)
        found = 0 if evidence is None or evidence.shadow is None else evidence.shadow.n_labels
        if found >= wanted:
            break
        time.sleep(0.1)
    return found


def test_it_measures_comes_back_and_ends(tmp_path: Path) -> None:
    config, rollout = set_up(tmp_path)
    rollout.watch(DECISION, "v2", "v1")
    actor = ray.get_actor(rollout_name(DECISION), namespace=NAMESPACE)
    pid = ray.get(actor.pid.remote())
    answered(config, "s1", 40)
    assert n_labels(rollout, 40) == 40
    os.kill(pid, signal.SIGKILL)
    answered(config, "s2", 30)
    rollout.watch(DECISION, "v2", "v1")
    assert n_labels(rollout, 70) == 70
    rollout.end(DECISION, controller=0)
    rollout.end(DECISION, controller=0)
    with pytest.raises(ValueError, match="Failed to look up actor"):
        ray.get_actor(rollout_name(DECISION), namespace=NAMESPACE)


def n_scored(rollout: EndpointRollout, wanted: int) -> int:
    """Wait until so many rows judged that were labelled after a first look."""
    found = 0
    for _ in range(600):
        evidence = rollout.gate_evidence(DECISION)
        found = 0 if evidence is None else evidence.found.n_rows
        if found >= wanted:
            break
        time.sleep(0.1)
    return found


def test_a_gate_goes_on_in_an_actor_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"{','.join(json.loads(ROW))},outcome\n1.5,1,red,true,,good\n")
    config, rollout = set_up(tmp_path)
    clock = SystemClock()
    versions = PipelineVersions(Registry(config.root.registry_url, clock), "tiny")
    collected = ingest(config.data, config.folder, versions, clock=clock)
    versions.add(replace(collected, id="d-0"))
    first = Comparison("auc", "v1", "v2", 200, 0.5, 0.5, 0.0, -0.1, 0.1, scale=Scale(12, 0.2))
    write_result(config.folder, DECISION, Retrained("v2", "d-0", "d-0", comparison=first))
    rollout.watch_gate(DECISION, "v2", "v1")
    actor = ray.get_actor(gate_name(DECISION), namespace=NAMESPACE)
    pid = ray.get(actor.pid.remote())
    answered(config, "s1", 40)
    assert n_scored(rollout, 40) == 40
    os.kill(pid, signal.SIGKILL)
    answered(config, "s2", 30)
    rollout.watch_gate(DECISION, "v2", "v1")
    assert n_scored(rollout, 70) == 70
    rollout.end_gate(DECISION)
    rollout.end_gate(DECISION)
    with pytest.raises(ValueError, match="Failed to look up actor"):
        ray.get_actor(gate_name(DECISION), namespace=NAMESPACE)
