"""The endpoint as an application that Serve builds from its own config, as under KubeRay's RayService."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ray.serve import Application

from raypipe.config.load import load_config
from raypipe.core.errors import ConfigError, ServingError
from raypipe.serving.config import ServingSettings
from raypipe.serving.on_ray import bind, keep_tokens
from raypipe.serving.pointer import read_pointer
from raypipe.serving.spec import EndpointSpec


def application(arguments: Mapping[str, str]) -> Application:
    """Return the endpoint of a pipeline; `route_prefix` must be `/` and its name.

    `arguments` is the Serve config's `args`: `config`, the path of the pipeline's config on the cluster.
    Raises ConfigError, and ServingError where no version is released in its home.
    """
    if set(arguments) != {"config"}:
        raise ConfigError(f"args must have the one key config, a path. Got {sorted(arguments)}.")
    config = load_config(Path(arguments["config"]))
    spec = EndpointSpec(config.name, config.root.root, guarded(config.serving))
    if read_pointer(spec.folder.pointer) is None:
        raise ServingError(
            f"no version of {config.name} is released in {spec.home}; run the pipeline there first."
        )
    keep_tokens(spec)
    return bind(spec)


def guarded(settings: ServingSettings) -> ServingSettings:
    """Return settings under which `auto` asks for a token: here Serve's own config says where it listens."""
    return settings.model_copy(update={"auth": "token"}) if settings.auth == "auto" else settings
