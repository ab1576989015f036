"""What `cluster.json` says of the Ray that `raypipe up` started; light, for commands that only look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from raypipe.core.errors import ClusterError
from raypipe.core.files import LOCAL_DISK, Disk, write_json
from raypipe.core.home import Home


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same number by when it began (seconds since 1970)."""

    name: str
    pid: int
    created_at_s: float


@dataclass(frozen=True)
class Ports:
    """The ports of one Ray, on 127.0.0.1, but for `haproxy_metrics` and `haproxy_stats`: on all interfaces.

    Replicas answer HAProxy on `ingress_http` and the ports after it, and gRPC on `ingress_grpc` and after;
    `fallback_*` is Serve's own proxy behind HAProxy. Besides, each replica takes calls of other replicas on
    all interfaces, on a port that Ray picks, and asks them for the token.
    """

    gcs: int
    dashboard: int
    dashboard_agent: int
    dashboard_agent_grpc: int
    dashboard_metrics: int
    runtime_env_agent: int
    metrics: int
    haproxy_metrics: int
    haproxy_stats: int
    fallback_http: int
    fallback_grpc: int
    ingress_http: int
    ingress_grpc: int


@dataclass(frozen=True)
class Cluster:
    """A Ray that raypipe started.

    `id` is in the environment of each of its processes, as RAYPIPE_CLUSTER; `processes` begins with the head,
    whose end ends the others.
    """

    id: str
    host: str
    address: str
    dashboard_url: str
    token_file: str
    folder: str
    processes: tuple[ProcessId, ...]
    ports: Ports
    versions: Mapping[str, str]
    started_at: datetime

    @property
    def head(self) -> ProcessId:
        return self.processes[0]

    def token(self) -> str:
        """Return the token that Ray and its dashboard ask for."""
        return Path(self.token_file).read_text().strip()


def read_cluster(home: Home) -> Cluster | None:
    """Return what was started, or None; raises ClusterError for a file that cannot be read."""
    try:
        text = home.cluster_file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ClusterError(f"{home.cluster_file} cannot be read ({error}); give this user access.") from error
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            f"{home.cluster_file} must be as raypipe wrote it; it cannot be read ({error}): end the "
            f"processes whose environment names RAYPIPE_CLUSTER, and remove it."
        ) from error


def write_cluster(home: Home, cluster: Cluster, disk: Disk = LOCAL_DISK) -> None:
    """Record what was started, atomically."""
    fields = asdict(cluster) | {
        "versions": dict(cluster.versions),
        "started_at": cluster.started_at.isoformat(),
    }
    write_json(home.cluster_file, fields, disk)


def forget_cluster(home: Home) -> None:
    """Remove the record."""
    home.cluster_file.unlink(missing_ok=True)


def _parse(fields: Mapping[str, Any]) -> Cluster:
    return Cluster(
        **{
            **fields,
            "processes": tuple(ProcessId(**process) for process in fields["processes"]),
            "ports": Ports(**fields["ports"]),
            "started_at": datetime.fromisoformat(fields["started_at"]),
        }
    )
