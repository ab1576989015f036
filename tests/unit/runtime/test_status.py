"""A record may name a Ray that runs, one that ended, or another machine's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raypipe.core.errors import ClusterError
from raypipe.core.home import Home
from raypipe.runtime.state import Cluster, write_cluster
from raypipe.runtime.status import require_running, status


def test_never_started(home: Home) -> None:
    assert status(home).state == "absent"
    with pytest.raises(ClusterError, match=r"no Ray has been started for .* `raypipe up`"):
        require_running(home)


def test_running(home: Home, cluster: Cluster) -> None:
    write_cluster(home, cluster)
    assert status(home).state == "running"
    assert require_running(home) == cluster


def test_ended_and_its_number_given_to_another_process(home: Home, cluster: Cluster) -> None:
    earlier = replace(cluster.head, created_at_s=cluster.head.created_at_s - 3600)
    write_cluster(home, replace(cluster, processes=(earlier,)))
    assert status(home).state == "gone"
    with pytest.raises(ClusterError, match="has ended; start it by `raypipe up`"):
        require_running(home)


def test_ended(home: Home, cluster: Cluster) -> None:
    write_cluster(home, replace(cluster, processes=cluster.processes[1:]))
    assert status(home).state == "gone"


def test_another_machine(home: Home, cluster: Cluster) -> None:
    write_cluster(home, cluster)
    assert status(home, host="elsewhere").state == "foreign"
    write_cluster(home, replace(cluster, host="elsewhere"))
    with pytest.raises(ClusterError, match="started on the machine 'elsewhere'"):
        require_running(home)
