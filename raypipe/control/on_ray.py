"""The controller as a detached actor, and retrains as Ray jobs whose ids are their decisions'."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from raypipe.config.settings import Config
from raypipe.control.actions import SetCanary
from raypipe.control.alerting import LogAndWebhook
from raypipe.control.capture_watch import CaptureWatch, capture_of
from raypipe.control.controller import Controller
from raypipe.control.endpoint import EndpointCanaries, EndpointReleases, approval_link
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_watch import read_gate_evidence
from raypipe.control.loops import ControllerLoop, GateLoop, MeasuringLoop, RolloutLoop
from raypipe.control.metrics import PipelineSamples
from raypipe.control.nearness import OutlookFile, trigger_samples
from raypipe.control.outcome import Retrained, read_result
from raypipe.control.ports import JobState, Ports
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.control.rollout_watch import read_evidence
from raypipe.control.state import State
from raypipe.control.traffic import CapturedTraffic
from raypipe.core.background import in_background
from raypipe.core.clock import SystemClock, read_uptime
from raypipe.core.errors import ClusterError
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.core.steady import SteadyClock
from raypipe.monitoring.on_ray import RayMetrics
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.store import Registry
from raypipe.serving.on_ray import Broadcast
from raypipe.serving.pointer import Pointer
from raypipe.serving.spec import EndpointSpec

NAMESPACE = "raypipe"
JOB_MODULE = "raypipe.runtime.job"
START_TIMEOUT_S = 60.0
_STATES: dict[JobStatus, JobState] = {
    JobStatus.PENDING: "running",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "failed",
}
_REFUSED = (RuntimeError, OSError)
"""What Ray's client raises: an answer that is an error, and no answer (requests' errors are OSErrors)."""
_NOT_FOUND = "status code 404"
_log = logging.getLogger("raypipe.control")


class RayJobs:
    """Retrains as Ray jobs, seen in the dashboard under the decision's id, with why as metadata."""

    def __init__(self, dashboard_url: str, folder: PipelineHome) -> None:
        self._dashboard_url = dashboard_url
        self._folder = folder
        self._client: JobSubmissionClient | None = None

    def submit(self, decision: str) -> None:
        """Start the job of a decision unless it exists; raises ClusterError."""
        if self.state(decision) != "unknown":
            return
        command = [sys.executable, "-m", JOB_MODULE, str(self._folder.root), decision]
        try:
            self._connected().submit_job(
                # In the shell's place: Ray would call it failed should only its shell die.
                entrypoint=f"exec {shlex.join(command)}",
                submission_id=decision,
                metadata={"raypipe_pipeline": self._folder.name, "raypipe_decision": decision},
            )
        except _REFUSED as error:
            raise ClusterError(f"Ray did not take the job {decision}: {_last_line(error)}") from error

    def state(self, decision: str) -> JobState:
        """Return how a job is; `unknown` where Ray has none of that id. Raises ClusterError."""
        try:
            return _STATES.get(self._connected().get_job_status(decision), "running")
        except _REFUSED as error:
            if _NOT_FOUND in str(error):
                return "unknown"
            raise ClusterError(f"Ray does not tell of the job {decision}: {_last_line(error)}") from error

    def stop(self, decision: str) -> None:
        """Ask Ray to stop a job; raises ClusterError where it has none of that id."""
        try:
            self._connected().stop_job(decision)
        except _REFUSED as error:
            raise ClusterError(f"Ray did not stop the job {decision}: {_last_line(error)}") from error

    def result(self, decision: str) -> Retrained | None:
        """Return what the job left in the home."""
        return read_result(self._folder, decision)

    def _connected(self) -> JobSubmissionClient:
        if self._client is None:
            self._client = JobSubmissionClient(self._dashboard_url)
        return self._client


class EndpointRollout:
    """Puts challengers beside the champion, and has an actor measure them in a process of its own."""

    def __init__(self, loop: Loop, announce: Callable[[Pointer], object]) -> None:
        self._config = loop.config
        self._canaries = EndpointCanaries(loop, announce)

    def watch(self, decision: str, version: str, champion: str | None) -> None:
        """See that an actor measures; raises ClusterError where Ray has no room for it."""
        if champion is not None:
            _measured(RolloutLoop, rollout_name(decision), self._config, decision, version, champion)

    def watch_gate(self, decision: str, version: str, champion: str | None) -> None:
        """See that an actor scores both; raises ClusterError where Ray has no room for it."""
        if champion is not None:
            _measured(GateLoop, gate_name(decision), self._config, decision, version, champion)

    def end_gate(self, decision: str) -> None:
        """End that actor; there may be none."""
        _end(gate_name(decision))

    def gate_evidence(self, decision: str) -> GateEvidence | None:
        """Return what that actor has kept in the home."""
        return read_gate_evidence(self._config.folder, decision)

    def evidence(self, decision: str) -> RolloutEvidence | None:
        """Return what the actor has kept in the home."""
        return read_evidence(self._config.folder, decision)

    def set_canary(self, canary: SetCanary, controller: int) -> int:
        """Point to a canary, see the endpoint follow, and return the epoch; raises RaypipeError."""
        return self._canaries.put(canary, controller)

    def end(self, decision: str, controller: int) -> None:
        """Let the champion answer all, and end the actor; raises RaypipeError."""
        self._canaries.withdraw(controller)
        _end(rollout_name(decision))
        _end(gate_name(decision))


class _ControllerActor(ControllerLoop):
    """A loop that starts with its process, so that one that Ray restarted goes on by itself."""

    def __init__(self, config_file: str, dashboard_url: str) -> None:
        in_background()
        # Read at each start, so that a restart is what brings another config, or other code, to work.
        config = Config.model_validate_json(Path(config_file).read_bytes())
        super().__init__(build(config, dashboard_url), config.retraining.tick_s, _metrics(config))
        self.start()


def _metrics(config: Config) -> Callable[[State], None]:
    """Return what exports a pipeline's metrics from this process, and keeps what would trigger next."""
    clock = SystemClock()
    shown = PipelineSamples(config.folder, Registry(config.root.registry_url, clock))
    outlook = OutlookFile(config.folder, config.retraining, clock)
    ray_metrics = RayMetrics()

    def show(state: State) -> None:
        triggers = trigger_samples(config.name, outlook.keep(state))
        ray_metrics.export((*shown.read(state), *triggers))

    return show


def build(config: Config, dashboard_url: str) -> Controller:
    """Return the controller of a pipeline with all it acts through."""
    clock = SystemClock()
    registry = Registry(config.root.registry_url, clock)
    loop = Loop(config, registry, clock, no_compute)
    spec = EndpointSpec(config.name, config.root.root, config.serving)
    broadcast = Broadcast(config.name)
    releases = EndpointReleases(loop, broadcast.tell)
    beside = EndpointRollout(loop, broadcast.tell)
    ports = Ports(
        jobs=RayJobs(dashboard_url, config.folder),
        traffic=CapturedTraffic(config.folder, registry, config.monitoring, SteadyClock(clock)),
        releases=releases,
        alerts=LogAndWebhook(
            config.name, config.retraining.alerts.webhook, lambda key: approval_link(config, registry, key)
        ),
        capture=CaptureWatch(config.name, capture_of(spec)),
        rollout=beside,
        sequence=beside,
        mending=releases,
    )
    return Controller(config.name, config.retraining, registry, clock, ports, read_uptime)


def controller_name(pipeline: str) -> str:
    """Return the name of a pipeline's controller in the namespace `raypipe`."""
    return f"raypipe-controller-{pipeline}"


def rollout_name(decision: str) -> str:
    """Return the name of the actor that measures a decision's challenger, in the namespace `raypipe`."""
    return f"raypipe-rollout-{decision}"


def gate_name(decision: str) -> str:
    """Return the name of the actor that scores a decision's challenger while its gate goes on."""
    return f"raypipe-gate-{decision}"


def _measured(kind: type[MeasuringLoop], name: str, config: Config, *about: str) -> None:
    """See that an actor measures, under a name; raises ClusterError where Ray has no room for it."""
    if _found(name) is not None:
        return
    options = {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
    }
    try:
        ray.remote(kind).options(**options).remote(str(config.folder.config), *about)
    except RayError as error:
        raise ClusterError(f"Ray did not start {name}, which measures: {_last_line(error)}") from error


def _end(name: str) -> None:
    actor = _found(name)
    if actor is not None:
        ray.kill(actor, no_restart=True)


def start_controller(config: Config, dashboard_url: str) -> None:
    """Keep the config that a pipeline's controller and its retrains go by, and let a controller take it up.

    One that runs is restarted by Ray, so that there is always one, whatever becomes of the caller. Its memory
    is the ledger: nothing is lost by the change. Ray must outlive the caller.
    """
    write_json(config.folder.config, config.model_dump(mode="json"))
    config.folder.config.chmod(0o600)  # it holds the secrets that the sources need
    actor = _find(config.name)
    if actor is None:
        actor = _created(config, dashboard_url)
    else:
        ray.kill(actor, no_restart=False)
    _wait_until_it_answers(actor, config.name)


def _created(config: Config, dashboard_url: str) -> Any:
    options = {
        "name": controller_name(config.name),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_concurrency": 4,
    }
    return ray.remote(_ControllerActor).options(**options).remote(str(config.folder.config), dashboard_url)


def _wait_until_it_answers(actor: Any, pipeline: str) -> None:
    """Wait for a controller that may be on its way back; raises ClusterError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            ray.get(actor.status.remote(), timeout=START_TIMEOUT_S)
            return
        except RayError as error:
            if not isinstance(error, ActorUnavailableError) or time.monotonic() > deadline:
                why = _last_line(error)
                raise ClusterError(f"the controller of {pipeline} does not answer: {why}") from error
        time.sleep(0.1)


def stop_controller(pipeline: str) -> bool:
    """End a pipeline's controller; return whether one ran. A retrain's job goes on."""
    actor = _find(pipeline)
    if actor is None:
        return False
    ray.kill(actor, no_restart=True)
    return True


def _find(pipeline: str) -> Any | None:
    return _found(controller_name(pipeline))


def _found(name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
