"""What is so at this moment: which version serves, what the endpoint says of itself, whether Ray is up."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.config.settings import Config
from raypipe.control.nearness import Outlook, outlook
from raypipe.control.people import read_state
from raypipe.control.state import AwaitingLabels, Canarying, Shadowing, State
from raypipe.control.traffic import read_window
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError, StorageError
from raypipe.core.ids import Json
from raypipe.monitoring.report import WindowReport
from raypipe.pipeline import CHALLENGER
from raypipe.registry.store import Registry
from raypipe.runtime.state import read_cluster
from raypipe.serving import client
from raypipe.serving.client import EndpointStatus
from raypipe.serving.pointer import read_pointer
from raypipe.serving.releases import CHAMPION
from raypipe.serving.spec import EndpointSpec


@dataclass(frozen=True)
class Status:
    """A pipeline at this moment; `endpoint` is none where nothing answers at `url`, `because` says why."""

    pipeline: str
    home: str
    champion: str | None
    challenger: str | None
    data_version: str | None
    n_model_versions: int
    url: str
    endpoint: EndpointStatus | None
    because: str
    dashboard_url: str | None
    phase: str
    """What the controller is at, as far as the ledger tells."""
    rollout: tuple[str, ...]
    """What is known of a challenger in a shadow or canary; empty without one."""
    window: WindowReport | None
    """What the controller measured last on live traffic."""
    outlook: Outlook
    """What would start a retrain or an alert next."""

    def to_json(self) -> Json:
        return {
            "pipeline": self.pipeline,
            "home": self.home,
            "champion": self.champion,
            "challenger": self.challenger,
            "data_version": self.data_version,
            "n_model_versions": self.n_model_versions,
            "url": self.url,
            "endpoint": None if self.endpoint is None else dict(self.endpoint.details),
            "because": self.because,
            "dashboard_url": self.dashboard_url,
            "phase": self.phase,
            "rollout": list(self.rollout),
            "window": None if self.window is None else self.window.to_json(),
            "outlook": self.outlook.to_json(),
        }


def read_status(config: Config, registry: Registry) -> Status:
    """Gather the status from the registry, the pointer, the endpoint and the cluster's record."""
    aliases = registry.aliases(config.name)
    versions = registry.model_versions(config.name)
    data = registry.data_versions(config.name)
    cluster = read_cluster(config.root)
    spec = endpoint_spec(config)
    endpoint, because = _endpoint(config, spec)
    state, window = read_state(registry, config.name), read_window(config.folder)
    return Status(
        pipeline=config.name,
        home=str(config.root.root),
        champion=aliases.get(CHAMPION),
        challenger=aliases.get(CHALLENGER),
        data_version=data[0].id if data else None,
        n_model_versions=len(versions),
        url=spec.url,
        endpoint=endpoint,
        because=because,
        dashboard_url=None if cluster is None else cluster.dashboard_url,
        phase=_phase(state),
        rollout=_rollout(config, state),
        window=window,
        outlook=outlook(state, window, config.retraining, SystemClock().now()),
    )


def _phase(state: State) -> str:
    doing = type(state.phase).__name__.lower()
    return doing if state.decision is None else f"{doing} {state.decision}"


def _rollout(config: Config, state: State) -> tuple[str, ...]:
    """Return what was measured so far of the challenger that live traffic is about."""
    phase = state.phase
    if isinstance(phase, AwaitingLabels):
        return _gate(config, phase)
    if not isinstance(phase, Shadowing | Canarying):
        return ()
    from raypipe.control.rollout import describe_canary, describe_shadow
    from raypipe.control.rollout_watch import read_evidence

    found = read_evidence(config.folder, phase.decision)
    if isinstance(phase, Shadowing):
        shadow = None if found is None else found.shadow
        said = ("nothing yet",) if shadow is None else describe_shadow(shadow)
        return (f"{phase.version} in the shadow of {phase.champion}", *said)
    step = (
        f"{phase.version} answers {phase.weight:.0%} beside {phase.champion}, {phase.max_rows} rows at most"
    )
    canary = None if found is None or phase.epoch is None else found.canary.get(phase.epoch)
    return (step, *(("nothing yet",) if canary is None else describe_canary(canary)))


def _gate(config: Config, phase: AwaitingLabels) -> tuple[str, ...]:
    """Return what rows have shown that were labelled after an inconclusive first look."""
    from raypipe.control.gate_sequence import describe_sequence
    from raypipe.control.gate_watch import read_gate_evidence

    found = read_gate_evidence(config.folder, phase.decision)
    said = "nothing yet" if found is None else describe_sequence(found)
    return (f"the gate of {phase.version} waits for labels, up to {config.retraining.gate.wait_labels}", said)


def endpoint_spec(config: Config) -> EndpointSpec:
    """Return what the pipeline's endpoint is made from, and where it answers."""
    return EndpointSpec(config.name, config.root.root, config.serving)


def _endpoint(config: Config, spec: EndpointSpec) -> tuple[EndpointStatus | None, str]:
    if read_pointer(config.folder.pointer) is None:
        return None, "no version was released yet; `raypipe up` releases the first."
    try:
        return client.read_status(spec.url, token=spec.status_token()), ""
    except (ServingError, StorageError) as error:
        return None, str(error)
