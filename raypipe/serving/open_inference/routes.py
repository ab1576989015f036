"""The paths of the protocol below an endpoint's prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from raypipe.serving.open_inference.message import shown
from raypipe.serving.request import RefusedRequest
from raypipe.serving.swap import LoadedVersion

Kind: TypeAlias = Literal[
    "server", "live", "ready", "model ready", "model", "config", "infer", "stats", "index"
]
_FIXED: Mapping[str, Kind] = {
    "v2": "server",
    "v2/health/live": "live",
    "v2/health/ready": "ready",
    "v2/models/stats": "stats",
    "v2/repository/index": "index",
}
_MODEL = re.compile(r"v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|config|infer|stats))?")
_OF_MODEL: Mapping[str | None, Kind] = {
    None: "model",
    "ready": "model ready",
    "config": "config",
    "infer": "infer",
    "stats": "stats",
}
_GUARDED_LIKE: Mapping[Kind, str] = {
    **dict.fromkeys(("server", "live", "ready", "model ready"), "health"),
    **dict.fromkeys(("model", "config", "infer", "index"), "predict"),
    "stats": "status",
}
PATHS = (
    *(path for path in _FIXED if path != "v2/models/stats"),
    *(f"v2/models/NAME[/versions/VERSION]{what}" for what in ("", "/ready", "/config", "/infer", "/stats")),
)
"""All paths, for people."""


class NotServed(RefusedRequest):
    """Another model or version is asked for than the one that answers."""

    status = 404


@dataclass(frozen=True)
class Route:
    """What a path asks for; `model` and `version` as it names them."""

    kind: Kind
    model: str | None = None
    version: str | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """How it is asked for."""
        return ("POST",) if self.kind in ("infer", "index") else ("GET", "HEAD")

    @property
    def guarded_like(self) -> str:
        """The plain route that asks for the same token."""
        return _GUARDED_LIKE[self.kind]


def route_of(path: str) -> Route | None:
    """Return what a path asks for; None where it is no path of the protocol."""
    if path in _FIXED:
        return Route(_FIXED[path])
    found = _MODEL.fullmatch(path)
    return found and Route(_OF_MODEL[found[3]], found[1], found[2])


def is_protocol(path: str) -> bool:
    """Whether a path is in the protocol's part of the endpoint, be it one that is answered or not."""
    return path.partition("/")[0] == "v2"


def check_served(route: Route, model: str, served: LoadedVersion) -> None:
    """Raise NotServed where a path names another model or version than the one that answers."""
    if route.model not in (None, model):
        raise NotServed(f"the model here is {model}. Got {shown(str(route.model))}.")
    serving = served.pointer.version
    if route.version not in (None, serving):
        raise NotServed(
            f"{model} answers with version {serving}, and no other. Got {shown(str(route.version))}; leave "
            "the version out to be answered by whichever serves."
        )
