"""Endpoints on Ray Serve: one application a pipeline, with its replicas and its route.

A change of the model is no deployment: the pointer moves, and the replicas follow. Only another spec or other
code replaces replicas, new ones before old ones.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.monitoring.on_ray import RayMetrics
from raypipe.serving.app import EndpointApp
from raypipe.serving.client import EndpointStatus, read_status, wait_for_epoch
from raypipe.serving.config import ServingSettings
from raypipe.serving.metrics import start_export
from raypipe.serving.pointer import read_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec

DEPLOYMENT = "endpoint"
HEALTH_CHECK_PERIOD_S = 2.0
HEALTH_CHECK_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 10.0
N_START_ATTEMPTS = 3


@serve.ingress()
class EndpointReplica:
    """The shell of one replica: Serve asks it for the application, which is built where it runs."""

    def __init__(self, spec: EndpointSpec) -> None:
        self._spec = spec

    def __serve_build_asgi_app__(self) -> EndpointApp:
        # Ray bounds the threads of OpenMP only; polars reads this when it is first imported.
        os.environ.setdefault("POLARS_MAX_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        app = build_app(self._spec, f"r{secrets.token_hex(4)}", SystemClock())
        start_export(app.endpoint, RayMetrics().export)
        return app


def deploy(spec: EndpointSpec, timeout_s: float = 120.0) -> str:
    """Make the endpoint answer, and return its URL; Ray is already initialised by the caller.

    An endpoint that runs already with the same spec and code is left as it is. Raises ServingError where no
    version is released, where its port is taken, and where it does not answer in time.
    """
    pointer = read_pointer(spec.folder.pointer)
    if pointer is None:
        raise ServingError(
            f"no version of {spec.name} is released yet; run the pipeline, or promote a version."
        )
    _start_serve(spec.settings)
    if not _runs(spec):
        _run(spec, pointer.version)
    wait_for_epoch(spec.url, pointer.epoch, timeout_s=timeout_s, n_replicas=spec.settings.replicas.min)
    return spec.url


def bind(spec: EndpointSpec) -> serve.Application:
    """Return the endpoint as an application that Serve can run."""
    return _deployment(spec.settings).bind(spec)


def undeploy(name: str) -> bool:
    """End an endpoint after the requests in progress; return whether there was one."""
    if name not in serve.status().applications:
        return False
    serve.delete(name)
    return True


def deployed() -> tuple[str, ...]:
    """Return the names of the applications that Serve runs."""
    return tuple(sorted(serve.status().applications))


def _start_serve(settings: ServingSettings) -> None:
    # Serve tells the driver of each of its steps; progress is told by who called.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if not serve.status().proxies:
        _check_port(settings)
    serve.start(
        http_options={"host": settings.host, "port": settings.port},
        logging_config=LoggingConfig(enable_access_log=False),
    )


def _check_port(settings: ServingSettings) -> None:
    """Refuse a port that another program holds; asked only where the proxy will be on this machine."""
    here = ray.get_runtime_context().get_node_id()
    heads = [node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    if here not in heads:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ServingError(
                f"serving.port {settings.port} on {settings.host} cannot be used ({error.strerror}); "
                "end the program that holds it, or set another port."
            ) from error


def _runs(spec: EndpointSpec) -> bool:
    application = serve.status().applications.get(spec.name)
    if application is None or application.status != "RUNNING":
        return False
    try:
        status: EndpointStatus = read_status(spec.url)
    except ServingError:
        return False
    return status.details.get("spec") == spec.id


def _run(spec: EndpointSpec, version: str) -> None:
    try:
        serve.run(bind(spec), name=spec.name, route_prefix=f"/{spec.name}")
    except RuntimeError as error:
        raise ServingError(
            f"the endpoint {spec.name} did not start with version {version}: {_reason(spec.name, error)}"
        ) from error


def _deployment(settings: ServingSettings) -> serve.Deployment:
    replicas = settings.replicas
    options: dict[str, object] = {
        "name": DEPLOYMENT,
        "ray_actor_options": {"num_cpus": replicas.cpus},
        "max_ongoing_requests": settings.max_ongoing_requests,
        "max_queued_requests": settings.max_ongoing_requests,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": SHUTDOWN_TIMEOUT_S,
        "max_constructor_retry_count": N_START_ATTEMPTS,
        "max_surge_percent": 100,
        "logging_config": LoggingConfig(enable_access_log=False),
    }
    if replicas.min == replicas.max:
        return serve.deployment(**options, num_replicas=replicas.min)(EndpointReplica)
    autoscaling = AutoscalingConfig(
        min_replicas=replicas.min,
        max_replicas=replicas.max,
        target_ongoing_requests=min(replicas.target_ongoing_requests, settings.max_ongoing_requests),
    )
    return serve.deployment(**options, autoscaling_config=autoscaling)(EndpointReplica)


def _reason(name: str, error: RuntimeError) -> str:
    """Return the sentence of the error that ended the replica; Serve tells it below a stack trace."""
    application = serve.status().applications.get(name)
    texts = [str(one.message) for one in application.deployments.values()] if application else []
    lines = [line.strip() for text in (*texts, str(error)) for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("raypipe.core.errors.")]
    return told[-1].partition(": ")[2] if told else (lines or ["Serve gave no reason"])[-1]
