"""What the `training` part of a config says."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from raypipe.core.settings import Settings
from raypipe.training.leaderboard import BASELINE
from raypipe.training.own.config import ModelName, OwnModel
from raypipe.training.task import MetricName

FamilyName = Literal["linear", "xgboost", "torch"]


class BudgetSettings(Settings):
    """When the search stops: at the first of the two."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = 24
    minutes: Annotated[float, Field(gt=0)] = 10.0


class TrialResources(Settings):
    """What one trial holds while it runs."""

    cpus: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """CPUs of a trial; `auto` is 1, or less where replicas must share a small machine."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    max_concurrent: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"


class ImportanceSettings(Settings):
    """How the importance of columns is measured: by shuffling each among validation rows."""

    enabled: bool = True
    rows: Annotated[int, Field(ge=100)] = 5_000
    """At most so many validation rows are used, drawn by `training.seed`."""
    repeats: Annotated[int, Field(ge=2, le=100)] = 5
    """How often each column is shuffled."""


class TrainingSettings(Settings):
    """What to learn, by which families, within which budget."""

    task: Literal["auto", "classification", "regression"] = "auto"
    metric: Literal["auto"] | MetricName = "auto"
    """What is optimised and judged; `auto` is auc for two classes, log_loss for more, mae for numbers."""
    families: tuple[FamilyName, ...] = ("linear", "xgboost", "torch")
    """The families of raypipe's own in the race; a constant baseline always runs beside them."""
    models: dict[ModelName, OwnModel] = Field(default_factory=dict)
    """Models of yours in the race, by the names that they have on the leaderboard."""
    code: str | None = None
    """The folder where modules of `models` lie that are not installed; by default the config's."""
    budget: BudgetSettings = BudgetSettings()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    resources: TrialResources = TrialResources()
    importance: ImportanceSettings = ImportanceSettings()

    @field_validator("families")
    @classmethod
    def _distinct(cls, families: tuple[FamilyName, ...]) -> tuple[FamilyName, ...]:
        if len(set(families)) < len(families):
            raise ValueError(f"families must differ from each other. Got {list(families)}")
        return families

    @model_validator(mode="after")
    def _somebody_races(self) -> Self:
        if not self.families and not self.models:
            raise ValueError("families must have at least 1 item where there are no models. Got []")
        taken = {*get_args(FamilyName), BASELINE}
        for name in self.models:
            if name in taken:
                raise ValueError(
                    f"models must have other names than {', '.join(sorted(taken))}. Got {name!r}"
                )
        return self

    @property
    def racing(self) -> tuple[str, ...]:
        """The names of all that race, but for the baseline."""
        return (*self.families, *self.models)
