"""Whether a Ray answers at an address, and to our token: in a second, with a sentence.

Asked directly, `ray.init` takes 20 s to refuse a wrong token, and where something other than Ray listens it
takes 80 s and then raises SystemExit.
"""

from __future__ import annotations

import socket

from raypipe.core.errors import ClusterError, ConfigError

_METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`; raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ConfigError(
            f"cluster.address must be a host and a port, such as 10.0.0.5:6379. Got {address!r}"
            f"{' (Ray Client is not supported; run on a node of the cluster)' if '://' in address else ''}."
        )
    return host.strip("[]"), int(port)


def probe(address: str, token: str | None, *, timeout_s: float = 5.0) -> None:
    """Raise ClusterError unless a Ray answers at `address` to `token`."""
    host, port = split_address(address)
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise ClusterError(
            f"nothing answers at {address} ({error}); start the cluster, or correct cluster.address."
        ) from error
    _ask(f"{host}:{port}", token, timeout_s)


def _ask(address: str, token: str | None, timeout_s: float) -> None:
    import grpc

    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        try:
            channel.unary_unary(_METHOD)(b"", timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            _explain(address, token, error.code().name)


def _explain(address: str, token: str | None, code: str) -> None:
    if code == "UNAUTHENTICATED":
        raise ClusterError(
            f"the Ray at {address} {'refuses our token' if token else 'asks for a token and there is none'}; "
            f"put the cluster's token into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH."
        )
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"):
        raise ClusterError(
            f"what listens at {address} is no Ray head ({code}); correct cluster.address: the address "
            f"that `ray start --head` printed, not the dashboard's."
        )
