"""An address at which no Ray answers is told so, at once."""

from __future__ import annotations

import socket

import pytest

from raypipe.core.errors import ClusterError, ConfigError
from raypipe.runtime.probe import probe, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("10.0.0.5:6379", ("10.0.0.5", 6379)), ("head:1", ("head", 1)), ("[::1]:6379", ("::1", 6379))],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "head", ":6379", "head:", "head:x", "http://head:8265", "a/b:1"])
def test_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.address must be a host and a port"):
        split_address(address)


def test_ray_client_is_named() -> None:
    with pytest.raises(ConfigError, match="Ray Client is not supported"):
        split_address("ray://head:10001")


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        ClusterError, match=rf"nothing answers at 127\.0\.0\.1:{port} .* correct cluster\.address"
    ):
        probe(f"127.0.0.1:{port}", None)


def test_something_else_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ClusterError, match=r"is no Ray head \(.*\); correct cluster\.address"):
            probe(f"127.0.0.1:{port}", "token", timeout_s=0.2)
