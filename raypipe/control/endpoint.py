"""What the controller does at an endpoint: it puts versions there, and says where people answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from raypipe.config.settings import Config
from raypipe.control.actions import SetCanary
from raypipe.control.people import read_state
from raypipe.control.state import AwaitingApproval
from raypipe.core.errors import ServingError
from raypipe.pipeline import Loop
from raypipe.policy.rollout import CanarySettings
from raypipe.registry.store import Registry
from raypipe.serving import client
from raypipe.serving.canaries import Canaries
from raypipe.serving.decision_link import Question, link
from raypipe.serving.pointer import Canary, Pointer
from raypipe.serving.releases import Follow, answers_at
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import read_token
from raypipe.tracking.beside import tell


class EndpointReleases:
    """Releases through the loop, tells the replicas, and sees the endpoint follow where one answers."""

    def __init__(self, loop: Loop, announce: Callable[[Pointer], object]) -> None:
        self._config = loop.config
        self._releases = replace(loop.releases, announce=announce)

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        """Release a version and return its epoch; raises RaypipeError where it does not come to serve."""
        follow, releases = follow_of(self._config), replace(self._releases, controller=controller)
        done = releases.promote(version, expected=expected, reason=reason, follow=follow)
        tell(self._config)
        return done.pointer.epoch

    def settle(self, controller: int) -> None:
        """See that the pointer names the champion; raises RaypipeError."""
        replace(self._releases, controller=controller).settle()


class EndpointCanaries:
    """Puts canaries beside the champion of an endpoint, and takes them away."""

    def __init__(self, loop: Loop, announce: Callable[[Pointer], object]) -> None:
        self._config = loop.config
        self._releases = replace(loop.releases, announce=announce)

    def put(self, asked: SetCanary, controller: int) -> int:
        """Point to a canary, see the endpoint follow, and return the epoch; raises RaypipeError."""
        terms = self._config.retraining.rollout.canary
        if terms is None or asked.champion is None:
            raise ServingError("retraining.rollout.canary must be set for a canary. Got none.")
        pointer = self._canaries(controller).put(canary_of(asked, terms), asked.champion)
        follow = follow_of(self._config)
        if follow is not None:
            follow(pointer)
        return pointer.epoch

    def withdraw(self, controller: int) -> None:
        """Let the champion answer all; raises RaypipeError."""
        self._canaries(controller).withdraw()

    def _canaries(self, controller: int) -> Canaries:
        return Canaries(replace(self._releases, controller=controller))


def canary_of(asked: SetCanary, terms: CanarySettings) -> Canary:
    """Return what the pointer names for a step of a canary: all replicas spend its rows together."""
    return Canary(
        asked.version,
        "",
        asked.weight,
        max_rows=asked.max_rows,
        slow_ms=terms.slow_ms,
        column=terms.sticky_column,
        header=terms.sticky_header,
        budget=f"{asked.decision}-step-{asked.step + 1}",
    )


def follow_of(config: Config) -> Follow | None:
    """Return what waits for the endpoint to follow a pointer; None where none answers."""
    spec = EndpointSpec(config.name, config.root.root, config.serving)
    token = spec.status_token()
    try:
        client.read_status(spec.url, token=token)
    except ServingError:
        return None
    return answers_at(spec.url, config.serving.replicas.min, token=token)


def approval_link(config: Config, registry: Registry, key: str) -> str | None:
    """Return the signed link by which an alert that asks for approval can be answered; None for others."""
    phase = read_state(registry, config.name).phase
    if not isinstance(phase, AwaitingApproval) or key != f"{phase.decision}/approval":
        return None
    spec = EndpointSpec(config.name, config.root.root, config.serving)
    token = read_token(spec.operator_token_file)
    if token is None:
        return None
    approval = config.retraining.approval
    until = phase.since + timedelta(seconds=approval.timeout_s)
    return link(approval.url or spec.url, Question(phase.decision, phase.version, until), token)
