"""Whether the Ray that `raypipe up` started for a home still runs."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

from raypipe.core.errors import ClusterError
from raypipe.core.home import Home
from raypipe.runtime.state import Cluster, read_cluster

State = Literal["absent", "running", "gone", "foreign"]


@dataclass(frozen=True)
class ClusterStatus:
    """`absent`: never started; `gone`: its head has died; `foreign`: it belongs to another machine."""

    state: State
    cluster: Cluster | None


def status(home: Home, host: str | None = None) -> ClusterStatus:
    """Return whether the Ray of a home runs; `host` is the name of this machine."""
    cluster = read_cluster(home)
    if cluster is None:
        return ClusterStatus("absent", None)
    if cluster.host != (host or socket.gethostname()):
        return ClusterStatus("foreign", cluster)
    from raypipe.runtime.processes import is_alive

    return ClusterStatus("running" if is_alive(cluster.head, cluster.id) else "gone", cluster)


def require_running(home: Home) -> Cluster:
    """Return the running Ray of a home; raises ClusterError."""
    found = status(home)
    if found.cluster is None:
        raise ClusterError(f"no Ray has been started for {home.root}; start one with `raypipe up`.")
    if found.state == "gone":
        raise ClusterError(
            f"the Ray of {home.root} (process {found.cluster.head.pid}) has ended; start it by `raypipe up`."
        )
    refuse_foreign(home, found)
    return found.cluster


def refuse_foreign(home: Home, found: ClusterStatus) -> None:
    """Raise ClusterError for a Ray that another machine started."""
    if found.state == "foreign" and found.cluster is not None:
        raise ClusterError(
            f"the Ray of {home.root} was started on the machine {found.cluster.host!r}; run this there, "
            f"or remove {home.cluster_file} if that machine is no more."
        )
