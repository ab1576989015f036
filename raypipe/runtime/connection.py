"""Connecting this process to a Ray: ours, one that exists, or a private one for a while."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from raypipe.config.settings import ClusterSettings
from raypipe.core.errors import ClusterError
from raypipe.core.home import Home
from raypipe.data.scratch import scratch_folder
from raypipe.runtime.environment import loopback_environment, token_environment
from raypipe.runtime.probe import probe
from raypipe.runtime.state import Cluster
from raypipe.runtime.status import require_running
from raypipe.runtime.token import environment, find_token, make_token

NAMESPACE = "raypipe"
SHORT_FOLDER = "/tmp"
"""Where Ray's sockets go: their paths may have 107 bytes, too few for most temporary folders."""


@dataclass(frozen=True)
class Connection:
    """A Ray that this process is connected to; `cluster` is None for one that raypipe did not start.

    `n_cpus` and `n_gpus` are those of all of its nodes; `dashboard_url` is empty where there is none.
    """

    address: str
    dashboard_url: str
    n_cpus: float
    n_gpus: float
    cluster: Cluster | None


@contextmanager
def connect(settings: ClusterSettings, home: Home) -> Iterator[Connection]:
    """Connect to `settings.address`, or to the Ray that was started for `home`, and disconnect at the end.

    Raises ClusterError where none runs or answers, where the token is missing or wrong, and where its Ray or
    Python is of another version.
    """
    if settings.address is not None:
        token = find_token(os.environ, Path.home())
        with _joined(settings.address, token, _joining(token)) as connection:
            yield connection
        return
    cluster = require_running(home)
    variables = {
        **loopback_environment(),
        **token_environment(Path(cluster.token_file)),
        "RAY_AUTH_TOKEN": None,
        "RAY_ADDRESS": None,
    }
    with _joined(cluster.address, cluster.token(), variables) as connection:
        yield replace(connection, dashboard_url=cluster.dashboard_url, cluster=cluster)


def current() -> Connection | None:
    """Return the Ray that this process is connected to already, by whoever did that."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return _connection(context.gcs_address, "")


@contextmanager
def local(settings: ClusterSettings) -> Iterator[Connection]:
    """Start a small private Ray without a dashboard, connect to it, and end it at the end."""
    with scratch_folder(Path(SHORT_FOLDER)) as folder:
        token_file = folder / "token"
        make_token(token_file)
        variables = {
            **loopback_environment(),
            **token_environment(token_file),
            "RAY_AUTH_TOKEN": None,
            "RAY_ADDRESS": None,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
            "POLARS_MAX_THREADS": "1",
        }
        with environment(variables), _disconnecting():
            yield _start(settings, folder)


def _start(settings: ClusterSettings, folder: Path) -> Connection:
    import ray

    context = ray.init(
        address="local",
        num_cpus=settings.cpus,
        num_gpus=settings.gpus,
        object_store_memory=settings.object_store_bytes,
        include_dashboard=False,
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=str(folder / "ray"),
        _node_ip_address="127.0.0.1",
    )
    return _connection(context.address_info["address"], "")


def _joining(token: str | None) -> dict[str, str | None]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}


@contextmanager
def _joined(address: str, token: str | None, variables: Mapping[str, str | None]) -> Iterator[Connection]:
    probe(address, token)
    with environment(variables), _disconnecting():
        yield _join(address)


def _join(address: str) -> Connection:
    """Connect; `ray.init` speaks of failures in four ways, SystemExit among them."""
    import ray

    try:
        context = ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:
        raise ClusterError(f"the Ray at {address} cannot be joined: {_reason(str(error))}") from error
    return _connection(address, f"http://{context.dashboard_url}" if context.dashboard_url else "")


def _connection(address: str, dashboard_url: str) -> Connection:
    import ray

    resources = ray.cluster_resources()
    return Connection(address, dashboard_url, resources.get("CPU", 0.0), resources.get("GPU", 0.0), None)


def _reason(text: str) -> str:
    """Return Ray's own words as one line, with what to do where that is known."""
    line = " ".join(text.split())
    if "Version mismatch" in line:
        return f"{line}; install the cluster's versions of Ray and Python, or upgrade the cluster."
    if "node_ip_address" in line or "not found" in line:
        return f"this machine is no node of that cluster; run this on one of its nodes ({line})."
    return f"{line or 'it does not say why'}."


@contextmanager
def _disconnecting() -> Iterator[None]:
    """Refuse a process that is connected already, and disconnect at the end."""
    import ray

    if ray.is_initialized():
        raise ClusterError(
            "this process is connected to a Ray already; call ray.shutdown() first, or use another process."
        )
    try:
        yield
    finally:
        ray.shutdown()
