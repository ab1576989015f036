"""The environment of the Ray that raypipe starts: every setting that Ray reads from there, and why.

Ray's processes read these when they are imported, so they are set before the head starts; a Ray that raypipe
only joins is as its owner set it up. `raypipe doctor` shows which of them took effect.
"""

from __future__ import annotations

import json
from pathlib import Path

from raypipe.runtime.ports import INGRESS_PORTS
from raypipe.runtime.state import Ports

MARK = "RAYPIPE_CLUSTER"
SERVER_TIMEOUT_S = 30
LATE = "haproxy/408.http"
"""Where, in the folder of a Ray, HAProxy finds what it answers to a request that does not come."""
MIDDLEWARES = "raypipe.serving.on_ray.middlewares"
_FOREIGN = ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_NAMESPACE")


def loopback_environment() -> dict[str, str]:
    """Return what makes Ray take 127.0.0.1 for its address and listen nowhere else.

    Ray asks so on macOS and Windows, where this variable is off; elsewhere it replaces 127.0.0.1 by the
    machine's outer address and listens on all interfaces.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def token_environment(token_file: Path) -> dict[str, str]:
    """Return what makes Ray ask for, and show, the token in a file."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}


def cluster_environment(
    *,
    id: str,
    folder: Path,
    token_file: Path,
    ports: Ports,
    n_cpus: int,
    body_timeout_s: float,
    haproxy: bool,
) -> dict[str, str]:
    """Return the variables of a new Ray; `haproxy` says whether its wheel is there.

    `body_timeout_s` is how long a request may take to come.
    """
    return {
        MARK: id,
        **loopback_environment(),
        **token_environment(token_file),
        **_ray(ports),
        **_serve(ports),
        **(_haproxy(folder, ports, n_cpus, body_timeout_s) if haproxy else {}),
    }


def late_answer(body_timeout_s: float) -> bytes:
    """Return what the file at LATE holds: an answer as HTTP/1.1 writes it."""
    message = f"a request must come within {body_timeout_s:g} seconds (serving.body_timeout_s)."
    body = json.dumps({"error": {"message": message}})
    lines = (
        "HTTP/1.1 408 Request Timeout",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join((*lines, "", body)).encode()


def merged(base: dict[str, str], ours: dict[str, str]) -> dict[str, str]:
    """Return `base` with ours on top, and without what would point Ray at another cluster or token."""
    return {name: value for name, value in base.items() if name not in _FOREIGN} | ours


def _ray(ports: Ports) -> dict[str, str]:
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # `down` ends everything at once: without this, a head with running work waits 30 s for it.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_START_HOOK": "raypipe.runtime.head.trim",
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        # Ray starts all workers with 15: whatever else runs on the machine at the usual priority, the drivers
        # of jobs among it, would be served before replicas and proxies. What is not for answers steps back by
        # itself (`raypipe.core.background`).
        "RAY_worker_niceness": "0",
        # Tasks and replicas hold one CPU or less; Ray limits only what reads OMP_NUM_THREADS.
        "POLARS_MAX_THREADS": "1",
    }


def _serve(ports: Ports) -> dict[str, str]:
    return {
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": MIDDLEWARES,
        # A dead proxy is noticed in 1 s, not 10 s. The timeout stays: trials may hold up a proxy.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # How busy replicas are is told every second, not every 10 s: replicas that scale follow the load.
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
        # Otherwise a second Serve on the same port shares it, silently, and gets half of the requests.
        "SERVE_SOCKET_REUSE_PORT_ENABLED": "0",
        # Ports of this home's own: with Ray's, two clusters on one host race for them.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.ingress_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.ingress_http + INGRESS_PORTS - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.ingress_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.ingress_grpc + INGRESS_PORTS - 1),
    }


def _haproxy(folder: Path, ports: Ports, n_cpus: int, body_timeout_s: float) -> dict[str, str]:
    """HAProxy in front of the replicas: ten times the requests per second of Serve's own proxy."""
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy/haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy/admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "haproxy/metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "haproxy"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy/server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, n_cpus))),
        # A request whose replica died goes to another. Named one by one: `all-retryable-errors` would also
        # repeat the 503 and 429 by which a replica says that it has too much to do.
        # HAProxy repeats only what it had whole before it sent the first byte of it on, so it must wait for
        # bodies, most of which come after their head. Ray has no variable for that, nor for how long it
        # waits; its template writes this one into HAProxy's defaults as it is.
        "RAY_SERVE_HAPROXY_RETRY_ON": "\n    ".join(
            (
                "conn-failure empty-response response-timeout",
                "option http-buffer-request",
                f"timeout http-request {body_timeout_s * 1e3:.0f}ms",
                f"errorfile 408 {folder / LATE}",
            )
        ),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(SERVER_TIMEOUT_S),
        # A client that sends nothing is left after 2 minutes, not an hour; longer than two replicas in turn.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(4 * SERVER_TIMEOUT_S),
        # Only a request that fits into the buffer can be repeated.
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(256 * 1024),
        # Two and a half files each. With more than a fifth of those open, HAProxy keeps no connection to a
        # replica, and each request opens one: with 2,048 here, 1,000 clients got 956 answers a second,
        # with 4,096 they get 5,400. It does not start where the system allows fewer files.
        "RAY_SERVE_HAPROXY_MAXCONN": "4096",
        # A leaving replica answers for 5 s more, not 30 s: HAProxy reloads within 0.1 s of the change.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        # An old HAProxy worker outlives its longest request, not 120 s.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(2 * SERVER_TIMEOUT_S),
    }
