"""A whole loop in one typed object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from raypipe.core.home import Home, PipelineHome
from raypipe.core.settings import Settings
from raypipe.data.config import DataSettings
from raypipe.data.sources.places import HIDDEN, masked
from raypipe.monitoring.config import MonitoringSettings
from raypipe.policy.config import RetrainingSettings
from raypipe.processing.config import ProcessingSettings
from raypipe.registry.config import RegistrySettings
from raypipe.serving.config import ServingSettings
from raypipe.training.config import TrainingSettings

DEFAULT_HOME = "~/.raypipe"


class ClusterSettings(Settings):
    """The Ray that does the work: one that raypipe starts, or one that exists."""

    address: str | None = None
    """An existing Ray to join, such as `10.0.0.5:6379`; none starts one on this machine."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """CPUs of the Ray that raypipe starts; none takes all of the machine."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    object_store_bytes: Annotated[int, Field(ge=80_000_000)] = 500_000_000
    dashboard_port: Annotated[int, Field(ge=1, le=65535)] = 8265
    """Where Ray's dashboard is looked for first; a port in use moves it to a free one."""


class Config(Settings):
    """Everything raypipe needs to know to run one loop."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    """The pipeline's name: its folder in the home and its path at the endpoint."""
    home: str = DEFAULT_HOME
    data: DataSettings
    processing: ProcessingSettings = ProcessingSettings()
    training: TrainingSettings = TrainingSettings()
    registry: RegistrySettings = RegistrySettings()
    serving: ServingSettings = ServingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    cluster: ClusterSettings = ClusterSettings()

    @model_validator(mode="after")
    def _nothing_needs_what_is_redacted(self) -> Self:
        for name in self.serving.capture.redact:
            if why := self._needs(name):
                raise ValueError(f"serving.capture.redact must not name {name!r}, {why}")
        return self

    def _needs(self, name: str) -> str | None:
        """Return what a column that is not kept of live rows would be missed for."""
        once = self.processing.deduplicate
        if name in (self.data.time, self.data.label_name):
            return "which is the event time or the label"
        if once is not None and once.by != "all" and name in once.by:
            return "by which processing.deduplicate compares rows"
        if name not in self.data.drop:
            return "as live rows could not teach it: a column that is no feature is listed in data.drop"
        return None

    def without_secrets(self) -> Self:
        """Return the config as anybody may see it: no passwords of sources, no address of the webhook."""
        alerts = self.retraining.alerts
        silent = alerts.model_copy(update={"webhook": alerts.webhook and HIDDEN})
        retraining = self.retraining.model_copy(update={"alerts": silent})
        mlflow = self.registry.mlflow
        told = mlflow and mlflow.model_copy(update={"uri": masked(mlflow.uri)})
        registry = self.registry.model_copy(update={"mlflow": told})
        return self.model_copy(
            update={"data": self.data.without_secrets(), "retraining": retraining, "registry": registry}
        )

    @property
    def folder(self) -> PipelineHome:
        """The pipeline's own folder in the home."""
        return self.root.pipeline(self.name)

    @property
    def root(self) -> Home:
        """The home."""
        return Home(Path(self.home))
