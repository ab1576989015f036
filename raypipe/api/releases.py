"""Releases as a person asks for them: of the endpoint over HTTP, and in the home where none is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from raypipe.config.settings import Config
from raypipe.core.errors import ServingError, UnknownVersion
from raypipe.core.ids import Json
from raypipe.core.progress import Step
from raypipe.serving import client
from raypipe.serving.client import EndpointStatus, ReleaseReply
from raypipe.serving.pointer import legible_pointer
from raypipe.serving.releases import BY_HAND, CHAMPION, MAX_REASON_CHARACTERS, ROLLED_BACK, Release, Releases
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.token import read_token
from raypipe.tracking.beside import tell

Route = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Released:
    """A version that is the champion now; `url` is where the endpoint answers with it, None without one."""

    version: str
    epoch: int
    url: str | None
    because: str
    """Why no endpoint made the release."""

    def to_json(self) -> Json:
        over = "home" if self.url is None else "http"
        return {"version": self.version, "epoch": self.epoch, "url": self.url, "over": over}


def promote(config: Config, releases: Releases, version: str, *, reason: str = "") -> Released:
    """Make a version the champion, and see the endpoint follow where one answers.

    Raises UnknownVersion, StaleEpoch where another release came in between, ArtifactError and ServingError
    where the version is refused: then the version that served before is the champion.
    """
    try:
        seen = _seen(config)
    except ServingError as error:
        before = releases.registry.alias(config.name, CHAMPION)
        done = _at_home(releases.promote(version, expected=before, reason=reason or BY_HAND), error)
    else:
        done = _over_http(config, releases, "promote", {"version": version, "reason": reason}, seen)
    tell(config)
    return done


def rollback(config: Config, releases: Releases) -> Released:
    """Make the version before the champion the champion again; raises UnknownVersion if there was none.

    Raises what `promote` does.
    """
    try:
        seen = _seen(config)
    except ServingError as error:
        champion = releases.registry.alias(config.name, CHAMPION)
        if champion is None:
            raise UnknownVersion(f"{config.name} has no champion to go back from.") from None
        done = _at_home(releases.rollback(expected=champion, reason=ROLLED_BACK), error)
    else:
        done = _over_http(config, releases, "rollback", {}, seen)
    tell(config)
    return done


def _over_http(
    config: Config, releases: Releases, route: Route, body: Mapping[str, Json], seen: EndpointStatus
) -> Released:
    url, token = _spec(config).url, read_token(config.root.operator_token)
    if token is None:
        raise ServingError(
            f"{config.root.operator_token} must hold the operator's token of the endpoint that answers at "
            f"{url}; `raypipe up` makes it."
        )
    version, epoch = _newest(config, seen)
    reply = client.release(url, route, {**body, "expected": version, "epoch": epoch}, token)
    try:
        n_replicas = config.serving.replicas.min
        client.wait_for_epoch(url, reply.epoch, timeout_s=60.0, n_replicas=n_replicas, token=token)
    except ServingError as error:
        _back(url, version, reply, token, error)
        raise
    releases.progress(Step("release", f"{reply.version} is the champion, epoch {reply.epoch}"))
    return Released(reply.version, reply.epoch, url, "")


def _newest(config: Config, seen: EndpointStatus) -> tuple[str, int]:
    """Return what was released last: a replica may not have followed yet, or have refused it."""
    pointer = legible_pointer(config.folder.pointer)
    if pointer is None or pointer.epoch < seen.epoch:
        return seen.version, seen.epoch
    return pointer.version, pointer.epoch


def _back(url: str, version: str, reply: ReleaseReply, token: str, error: ServingError) -> None:
    """Bring back what served before, where a replica refused what another had taken."""
    if version == reply.version:
        return
    reason = f"{reply.version} was refused: {error}"[:MAX_REASON_CHARACTERS]
    body: dict[str, Json] = {
        "version": version,
        "expected": reply.version,
        "epoch": reply.epoch,
        "reason": reason,
    }
    client.release(url, "promote", body, token)


def _at_home(release: Release, error: ServingError) -> Released:
    return Released(release.pointer.version, release.pointer.epoch, None, str(error))


def _seen(config: Config) -> EndpointStatus:
    spec = _spec(config)
    return client.read_status(spec.url, token=spec.status_token())


def _spec(config: Config) -> EndpointSpec:
    return EndpointSpec(config.name, config.root.root, config.serving)
