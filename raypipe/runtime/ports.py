"""Ports: whether one is free, and which ones a new Ray gets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

from raypipe.core.errors import ClusterError
from raypipe.runtime.state import Ports

LOOPBACK = "127.0.0.1"
INGRESS_PORTS = 100
_INGRESS_FIRST = 20_000
_INGRESS_SLOTS = 60


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there now."""
    try:
        with _bound(host, port):
            return True
    except OSError:
        return False


def require_free(host: str, port: int, setting: str) -> None:
    """Raise ClusterError where something listens already; `setting` is the key of the config that says so."""
    try:
        with _bound(host, port):
            return
    except OSError as error:
        raise ClusterError(
            f"{setting} must be a port that nothing else uses on {host}. Got {port}: {_reason(error)}; end "
            f"what listens there (`ss -ltnp 'sport = :{port}'` shows it), or set {setting} to another port."
        ) from error


def choose_ports(preferred_dashboard: int, slot: int, free: Callable[[str, int], bool] = is_free) -> Ports:
    """Return free ports for a new Ray; `slot`, any number, says where to look first for replicas' ports."""
    with ExitStack() as held:
        # Held together, so that no port is given twice.
        gcs, spare, agent, agent_grpc, dash_metrics, env_agent, metrics, haproxy, stats, http, grpc = (
            held.enter_context(_bound(LOOPBACK, 0)).getsockname()[1] for _ in range(11)
        )
    ingress = _ingress(slot, free)
    return Ports(
        gcs=gcs,
        dashboard=preferred_dashboard if free(LOOPBACK, preferred_dashboard) else spare,
        dashboard_agent=agent,
        dashboard_agent_grpc=agent_grpc,
        dashboard_metrics=dash_metrics,
        runtime_env_agent=env_agent,
        metrics=metrics,
        haproxy_metrics=haproxy,
        haproxy_stats=stats,
        fallback_http=http,
        fallback_grpc=grpc,
        ingress_http=ingress,
        ingress_grpc=ingress + INGRESS_PORTS,
    )


def _ingress(slot: int, free: Callable[[str, int], bool]) -> int:
    """Return the first of 200 ports of which the first ones are free, below those that systems hand out."""
    for k in range(_INGRESS_SLOTS):
        first = _INGRESS_FIRST + 2 * INGRESS_PORTS * ((slot + k) % _INGRESS_SLOTS)
        if all(free(LOOPBACK, first + offset) for offset in (0, 1, INGRESS_PORTS, INGRESS_PORTS + 1)):
            return first
    raise ClusterError(
        f"replicas need {2 * INGRESS_PORTS} free ports between {_INGRESS_FIRST} and "
        f"{_INGRESS_FIRST + 2 * INGRESS_PORTS * _INGRESS_SLOTS}, and found none; end what listens there."
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port in TIME_WAIT is free for a server that says so, as Ray's and HAProxy's do.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def _reason(error: OSError) -> str:
    return "it is in use" if error.errno == 98 else str(error.strerror or error)
