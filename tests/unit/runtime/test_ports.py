"""A port in use is refused with a sentence, and a new Ray gets ports that differ."""

from __future__ import annotations

import socket
from dataclasses import astuple

import pytest

from raypipe.core.errors import ClusterError
from raypipe.runtime.ports import INGRESS_PORTS, choose_ports, is_free, require_free


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(
            ClusterError, match=rf"serving\.port must be a port .* Got {port}: it is in use; end"
        ):
            require_free("127.0.0.1", port, "serving.port")
    assert is_free("127.0.0.1", port)
    require_free("127.0.0.1", port, "serving.port")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ClusterError, match=r"serving\.port must be a port"):
        require_free("203.0.113.1", 8000, "serving.port")


def test_ports_differ() -> None:
    ports = choose_ports(8265, 7, free=lambda host, port: True)
    assert ports.dashboard == 8265
    assert len(set(astuple(ports))) == len(astuple(ports))


def test_a_dashboard_port_in_use_moves() -> None:
    assert choose_ports(8265, 0, free=lambda host, port: port != 8265).dashboard != 8265


def test_replicas_ports_are_apart_for_each_slot_and_skip_what_is_used() -> None:
    assert choose_ports(8265, 3, free=lambda host, port: True).ingress_http == 20_600
    skipped = choose_ports(8265, 3, free=lambda host, port: port != 20_600 + INGRESS_PORTS)
    assert (skipped.ingress_http, skipped.ingress_grpc) == (20_800, 20_900)
    assert choose_ports(8265, 63, free=lambda host, port: True).ingress_http == 20_600


def test_no_ports_left_for_replicas() -> None:
    with pytest.raises(ClusterError, match="replicas need 200 free ports"):
        choose_ports(8265, 0, free=lambda host, port: False)
