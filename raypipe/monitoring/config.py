"""What the `monitoring` part of a config says."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from raypipe.core.settings import Settings


class DriftSettings(Settings):
    """When the values of a column are said to have drifted."""

    psi: Annotated[float, Field(gt=0)] = 0.25
    """The population stability index from which on a column has drifted; 0.1 is a customary warning."""


class MonitoringSettings(Settings):
    """On how many of the newest rows live traffic is measured."""

    window_rows: Annotated[int, Field(ge=1)] = 2_000
    """The newest answered rows whose inputs are compared with the training rows."""
    window_labels: Annotated[int, Field(ge=1)] = 500
    """The newest labelled rows of the serving version that its live quality is measured on."""
    min_rows: Annotated[int, Field(ge=1)] = 200
    """With fewer answered rows no column has drifted."""
    min_labels: Annotated[int, Field(ge=1)] = 100
    """With fewer labelled rows there is no live quality."""
    drift: DriftSettings = DriftSettings()

    @model_validator(mode="after")
    def _windows_hold_enough(self) -> Self:
        for least, window in (("min_rows", "window_rows"), ("min_labels", "window_labels")):
            if getattr(self, least) > getattr(self, window):
                raise ValueError(
                    f"{least} must be <= {window}, which bounds it. "
                    f"Got {least} {getattr(self, least)} and {window} {getattr(self, window)}"
                )
        return self
