"""Endpoints on Ray Serve: one application a pipeline, with its replicas and its route.

A change of the model is no deployment: the pointer moves, and the replicas follow. Only another spec or other
code replaces replicas, new ones before old ones.
"""

from __future__ import annotations

import logging
import os
import secrets
from concurrent.futures import Future

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig
from starlette.middleware import Middleware

from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.core.steady import SteadyClock
from raypipe.monitoring.on_ray import RayMetrics
from raypipe.serving.app import EndpointApp
from raypipe.serving.client import EndpointStatus, read_status, wait_for_epoch
from raypipe.serving.config import ServingSettings
from raypipe.serving.direct import ShortWay
from raypipe.serving.listening import require_port
from raypipe.serving.living_loop import LivingLoop
from raypipe.serving.metrics import start_export
from raypipe.serving.pauses import keep_pauses_short
from raypipe.serving.pointer import Pointer, read_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import MIN_CHARACTERS, keep_token, read_token

DEPLOYMENT = "endpoint"
HEALTH_CHECK_PERIOD_S = 2.0
HEALTH_CHECK_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 10.0
N_START_ATTEMPTS = 3
IN_PROGRESS = "in_progress"
LOOK_BACK_S = 10.5
"""Over how long requests in progress are averaged to scale replicas; Serve wants more than 10 s."""
BROADCAST_TIMEOUT_S = 60.0
_log = logging.getLogger("raypipe.serving")


@serve.ingress()
class EndpointReplica:
    """The shell of one replica: Serve asks it for the application, which is built where it runs."""

    def __init__(self, spec: EndpointSpec) -> None:
        self._spec = spec
        self._built: EndpointApp | None = None

    @property
    def short_way(self) -> EndpointApp | None:
        """The application, once it is built."""
        return self._built

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Say how many requests are in progress: Serve does not see those that take the short way."""
        return {IN_PROGRESS: 0.0 if self._built is None else float(self._built.n_in_progress)}

    async def look(self) -> int:
        """Follow the pointer now, and return the epoch that answers then; `Broadcast` calls it."""
        if self._built is None:
            raise ServingError("this replica is starting; it reads the pointer by itself.")
        return await self._built.look()

    async def ask(self, route: str, body: bytes) -> tuple[int, bytes]:
        """Answer a body that came without HTTP, with what its status would be; `EndpointHandle` calls it."""
        if self._built is None:
            raise ServingError("this replica is starting.")
        reply = await self._built.ask(route, body)
        return reply.status, reply.body

    def __serve_build_asgi_app__(self) -> EndpointApp:
        # Ray bounds the threads of OpenMP only; polars reads this when it is first imported.
        os.environ.setdefault("POLARS_MAX_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        app = self._built = build_app(self._spec, f"r{secrets.token_hex(4)}", SteadyClock(SystemClock()))
        start_export(app.endpoint, RayMetrics().export)
        keep_pauses_short()
        return app


def desired_replicas(context: AutoscalingContext) -> tuple[float, dict[str, object]]:
    """Return how many replicas would have the wanted number of requests each; Serve bounds and delays it."""
    counts = context.aggregated_metrics.get(IN_PROGRESS, {})
    in_progress = context.total_num_requests + sum(counts.values())
    return in_progress / context.config.target_ongoing_requests, {}


def middlewares() -> list[Middleware]:
    """Return what stands before the application of Serve's HTTP servers; Serve calls it in each process.

    Named in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH. A Ray that lacks it answers all the same, slower.
    """
    try:
        serve.get_replica_context()
    except RayServeException:
        return []  # This process is a proxy.
    return [Middleware(ShortWay, find=_endpoint_here)]


def _endpoint_here() -> EndpointApp | None:
    """Return what this replica answers with; Serve knows the object only once its server has started."""
    # Serve sends the class by value, so that it is none of this module's here.
    found = getattr(serve.get_replica_context().servable_object, "short_way", None)
    return found if isinstance(found, EndpointApp) else None


async def ask_replica(pipeline: str, route: str, body: bytes) -> tuple[int, bytes]:
    """Have a replica answer a body, without HTTP; raises ServingError where there is none that does."""
    try:
        status, reply = await serve.get_deployment_handle(DEPLOYMENT, pipeline).ask.remote(route, body)
    except (RayServeException, RayError, RuntimeError, KeyError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ServingError(
            f"the endpoint {pipeline} does not answer ({why}): see `raypipe status`."
        ) from error
    return int(status), bytes(reply)


class Broadcast:
    """Tells the running replicas of an endpoint that the pointer has moved.

    Replicas that are starting or unreachable are not told: all poll.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._loop = LivingLoop("broadcast")
        self._handle: DeploymentHandle | None = None

    def tell(self, pointer: Pointer) -> Future[tuple[int, ...]]:
        """Begin to tell; return what will hold the epochs of the replicas that were reached. Never raises."""
        return self._loop.begin(self._tell(pointer))

    async def _tell(self, pointer: Pointer) -> tuple[int, ...]:
        try:
            told = self._replicas().broadcast("look")
            found = await told.results_async(timeout_s=BROADCAST_TIMEOUT_S, return_exceptions=True)
        except Exception as error:  # noqa: BLE001 - whatever Serve raises, replicas find it by polling
            self._handle = None  # Serve may have been started anew, which an old handle never hears of.
            found = [error]
        for one in found:
            if not isinstance(one, int):
                _log.warning("a replica of %s was not told of %s: %s", self._pipeline, pointer, one)
        return tuple(one for one in found if isinstance(one, int))

    def _replicas(self) -> DeploymentHandle:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(DEPLOYMENT, self._pipeline)
        return self._handle


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
    keep_tokens(spec)
    _start_serve(spec.settings)
    if not _runs(spec):
        _check_grpc_port(spec)
        _run(spec, pointer.version)
    wait_for_epoch(
        spec.url,
        pointer.epoch,
        timeout_s=timeout_s,
        n_replicas=spec.settings.replicas.min,
        token=spec.status_token(),
    )
    return spec.url


def keep_tokens(spec: EndpointSpec) -> None:
    """Make the tokens that the endpoint asks for, unless its home has them.

    Raises ServingError for a `serving.token_file` of the user's own without a token: it is not ours to make.
    """
    keep_token(spec.operator_token_file, secrets.token_hex(32))
    if spec.token_file is None:
        return
    if spec.settings.token_file is None:
        keep_token(spec.token_file, secrets.token_hex(32))
    elif read_token(spec.token_file) is None:
        raise ServingError(
            f"serving.token_file must name a file with a token of {MIN_CHARACTERS} or more ASCII characters. "
            f"Got {spec.token_file}, which holds none; write one, or leave the setting out and one is made."
        )


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
        _check_port(settings.host, settings.port, "serving.port")
    serve.start(
        http_options={"host": settings.host, "port": settings.port},
        logging_config=LoggingConfig(enable_access_log=False),
    )
    _check_host(settings, str(_get_global_client().http_config.host))


def _check_host(settings: ServingSettings, host: str) -> None:
    """Refuse to answer everybody where a Serve that ran before listens elsewhere than is asked for."""
    is_local = settings.model_copy(update={"host": host}).is_local
    if settings.auth == "auto" and not is_local and not settings.asks_for_token:
        raise ServingError(
            f"serving.auth must be token, or off, where Serve listens on {host}, as the one of this Ray does "
            f"already. Got auto, which asks for no token on {settings.host}."
        )


def _check_grpc_port(spec: EndpointSpec) -> None:
    """Refuse a port that others hold: replicas share theirs, and would share it with another endpoint's."""
    settings = spec.settings
    if settings.grpc_port is None:
        return
    from raypipe.serving.open_inference.rpc.address import answers  # grpc, only where it is wanted

    if not answers(settings, spec.name):
        _check_port(settings.host, settings.grpc_port, "serving.grpc_port")


def _check_port(host: str, port: int, setting: str) -> None:
    """Refuse a port that another program holds; asked only where this machine is the head."""
    here = ray.get_runtime_context().get_node_id()
    heads = [node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    if here not in heads:
        return
    require_port(host, port, setting)


def _runs(spec: EndpointSpec) -> bool:
    application = serve.status().applications.get(spec.name)
    if application is None or application.status != "RUNNING":
        return False
    try:
        status: EndpointStatus = read_status(spec.url, token=spec.status_token())
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
        upscale_delay_s=replicas.upscale_delay_s,
        downscale_delay_s=replicas.downscale_delay_s,
        look_back_period_s=LOOK_BACK_S,
        policy=AutoscalingPolicy(policy_function=f"{__name__}:{desired_replicas.__name__}"),
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
