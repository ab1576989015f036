"""What the doctor says where no Ray runs."""

from __future__ import annotations

import socket
from dataclasses import replace

from raypipe.core.home import Home
from raypipe.runtime.checks import Check
from raypipe.runtime.doctor import _home, examine
from raypipe.runtime.state import Cluster, write_cluster
from raypipe.serving.config import ServingSettings


def examined(home: Home, port: int, grpc_port: int | None = None) -> dict[str, Check]:
    settings = ServingSettings(port=port, grpc_port=grpc_port)
    return {check.name: check for check in examine(home, settings)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_machine_on_which_these_tests_run(home: Home) -> None:
    found = examined(home, free_port())
    assert found["Python"].ok
    assert found["packages"].ok, found["packages"].detail
    assert found["home"].ok
    assert found["Ray"] == Check("Ray", True, "not started for this home")
    assert found["serving.port"].ok


def test_a_port_in_use(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = examined(home, port)["serving.port"]
        rpc = examined(home, free_port(), port)["serving.grpc_port"]
    assert not check.ok
    assert "in use by something else" in check.detail
    assert (rpc.ok, rpc.detail) == (False, check.detail)


def test_a_record_of_a_ray_that_ended(home: Home, cluster: Cluster) -> None:
    write_cluster(home, replace(cluster, processes=cluster.processes[1:]))
    check = examined(home, free_port())["Ray"]
    assert not check.ok
    assert "`raypipe down` removes the record" in check.advice


def test_a_damaged_record(home: Home) -> None:
    home.cluster_file.write_text("{")
    check = examined(home, free_port())["Ray"]
    assert not check.ok
    assert "must be as raypipe wrote it" in check.detail


def test_a_home_that_cannot_be_written(home: Home) -> None:
    (home.root / "file").write_text("")
    check = examined(Home(home.root / "file"), free_port())["home"]
    assert not check.ok
    assert "file" in check.detail


def test_a_home_on_the_network(home: Home) -> None:
    checks = {check.name: check for check in _home(home, lambda: f"server:/ {home.root} nfs4 rw 0 0")}
    assert not checks["home's disk"].ok
    assert "nfs4" in checks["home's disk"].detail
