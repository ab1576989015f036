"""What the `monitoring` part of a config says."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from raypipe.core.settings import Settings


class DriftSettings(Settings):
    """When the values of a column are said to have drifted, and how often that may be wrong."""

    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The probability that any column of any version is ever said to have drifted though none has."""
    tolerance: Annotated[float, Field(ge=0, le=10)] = 0.02
    """The population stability index up to which a shift is harmless; 0.1 is a customary warning."""
    step_rows: Annotated[int, Field(ge=10)] = 500
    """After so many answered rows a test begins, so that a late change is seen as soon as an early one."""


class HarmSettings(Settings):
    """When answers are said to have become worse than at release, and how often that may be wrong."""

    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The probability that harm is ever said of any version, or slice, though there is none."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """By how much the mean loss (a wrong class, or the rank of an error) may rise without harm."""
    cohort_rows: Annotated[int, Field(ge=10)] = 100
    """Answers that wait together for their labels, and are then taken together."""
    mature_after_s: Annotated[float, Field(gt=0)] | None = None
    """How long labels take; by default the age by which 95% of those that ever come have come."""


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
    harm: HarmSettings = HarmSettings()
    slices: tuple[str, ...] = ()
    """Columns by whose values quality is told apart: each category, or each tenth of a number's values."""

    @model_validator(mode="after")
    def _windows_hold_enough(self) -> Self:
        for least, window in (("min_rows", "window_rows"), ("min_labels", "window_labels")):
            if getattr(self, least) > getattr(self, window):
                raise ValueError(
                    f"{least} must be <= {window}, which bounds it. "
                    f"Got {least} {getattr(self, least)} and {window} {getattr(self, window)}"
                )
        return self
