"""What a replica is made of: the one place where the rooms of an endpoint are joined."""

from __future__ import annotations

from functools import partial

from raypipe.core.clock import Clock
from raypipe.core.home import Home
from raypipe.registry.store import Registry
from raypipe.serving.app import EndpointApp
from raypipe.serving.capture import open_capture
from raypipe.serving.decision_link import Decisions
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.monitored import Monitored
from raypipe.serving.operator import Operator
from raypipe.serving.releases import Releases
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.serving.token import Guard


def build_app(spec: EndpointSpec, replica: str, clock: Clock) -> EndpointApp:
    """Load the version that the pointer names, and return the application that answers with it.

    `replica` names this start of this replica; no two may share it. Raises ServingError where no version
    can be loaded: that sentence is all that a person needs.
    """
    load = partial(load_version, spec.folder, max_row_ms=spec.settings.max_row_ms)
    versions = VersionHolder(spec.folder.pointer, load, clock)
    capture = open_capture(spec.folder, spec.settings.capture, replica, clock)
    endpoint = Endpoint(
        spec.name,
        spec.settings,
        versions=versions,
        capture=capture,
        clock=clock,
        replica=replica,
        spec_id=spec.id,
        monitored=Monitored(spec.folder).read,
    )
    registry = Registry(Home(spec.home).registry_url, clock)
    releases = Releases(registry, spec.folder)
    decisions = Decisions(spec.name, registry, spec.operator_token_file, clock)
    operators = Guard(spec.operator_token_file, clock, "this path is the operator's")
    users = (
        None if spec.token_file is None else Guard(spec.token_file, clock, "this endpoint asks for a token")
    )
    app = EndpointApp(endpoint, Operator(operators, releases, versions.follow, decisions), users)
    if spec.settings.grpc_port is not None:
        from raypipe.serving.open_inference.rpc.server import RpcDoor  # grpc and protobuf, only where wanted

        app.open_beside(RpcDoor(app))
    return app
