"""raypipe: the machine-learning loop on Ray.

    import raypipe

    pipeline = raypipe.load("raypipe.yaml")
    outcome = pipeline.run()
    deployment = pipeline.deploy()

Names are imported when they are first used, so that a command that only reads starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raypipe.api.client.answers import Feedback, Prediction
    from raypipe.api.client.clients import AsyncClient, Client
    from raypipe.api.handle import EndpointHandle
    from raypipe.api.pipeline import Deployment, Pipeline, load
    from raypipe.api.status import Status
    from raypipe.config.settings import Config
    from raypipe.core.errors import RaypipeError
    from raypipe.data.versions import DataVersion
    from raypipe.pipeline import Outcome
    from raypipe.registry.values import ModelVersion
    from raypipe.training.leaderboard import Leaderboard

__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "DataVersion",
    "Deployment",
    "EndpointHandle",
    "Feedback",
    "Leaderboard",
    "ModelVersion",
    "Outcome",
    "Pipeline",
    "Prediction",
    "RaypipeError",
    "Status",
    "load",
]

_HOMES = {
    "AsyncClient": "raypipe.api.client.clients",
    "Client": "raypipe.api.client.clients",
    "Config": "raypipe.config.settings",
    "DataVersion": "raypipe.data.versions",
    "Deployment": "raypipe.api.pipeline",
    "EndpointHandle": "raypipe.api.handle",
    "Feedback": "raypipe.api.client.answers",
    "Leaderboard": "raypipe.training.leaderboard",
    "ModelVersion": "raypipe.registry.values",
    "Outcome": "raypipe.pipeline",
    "Pipeline": "raypipe.api.pipeline",
    "Prediction": "raypipe.api.client.answers",
    "RaypipeError": "raypipe.core.errors",
    "Status": "raypipe.api.status",
    "load": "raypipe.api.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'raypipe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
