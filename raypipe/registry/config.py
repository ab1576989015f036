"""What the `registry` part of a config says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raypipe.core.settings import Settings
from raypipe.data.config import RetentionSettings


class ModelRetentionSettings(RetentionSettings):
    """Which model versions `raypipe models gc` keeps: those that either rule keeps; without both, all.

    Versions that an alias names, that are pinned, that serve, wait for a verdict or are the way back are
    kept whatever is said here, and so is the newest.
    """


class MlflowSettings(Settings):
    """The MLflow that is told of runs and versions."""

    uri: Annotated[str, Field(pattern=r"^(https?://|postgresql|mysql|sqlite:////)")]
    """A tracking server, or a database of MLflow's, by its whole path: `sqlite:////srv/mlflow.db`."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """After how long a sync is given up; the next one tells the rest."""


class RegistrySettings(Settings):
    """How long what was learned is kept, and who is told of it."""

    retention: ModelRetentionSettings = ModelRetentionSettings()
    mlflow: MlflowSettings | None = None
