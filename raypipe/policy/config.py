"""What the `retraining` part of a config says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from raypipe.core.settings import Settings
from raypipe.policy.cron import CronError, next_time, parse_cron
from raypipe.policy.rollout import RolloutSettings

Mode = Literal["auto", "approve", "manual"]
RetrainAction = Literal["retrain", "refit", "continue", "rollback"]
"""`retrain` searches; `refit` trains the champion's family once more, with its parameters, on the rows of
now; `continue` goes on training its model on the rows that are new to it; `rollback` judges the version
that was the champion before beside the present one. All must pass the gate."""
Response = Literal["off", "alert"] | RetrainAction
SetTrigger = Literal["quality", "harm", "cost", "labels", "drift", "schedule"]
TRIGGERS: tuple[SetTrigger, ...] = ("quality", "harm", "cost", "labels", "drift", "schedule")
"""What a person can set to ask, that which is told first where several ask at once in front."""
DAY_S = 86_400.0
MAX_DOUBLINGS = 6
"""A rest, or what another retrain must be worth, is doubled so often at most."""


class CostSettings(Settings):
    """Two prices, in any unit that is the same for both."""

    loss: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """What an answer costs whose loss is 1: a wrong class, or an error larger than any at release."""
    retrain: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """What a retrain costs, all in all."""


class ActionSettings(Settings):
    """What follows where a trigger asks whose own setting is a bound, a price, a count or a time."""

    quality: Literal["alert"] | RetrainAction = "retrain"
    cost: Literal["alert"] | RetrainAction = "retrain"
    labels: Literal["alert"] | RetrainAction = "retrain"
    schedule: RetrainAction = "retrain"


class TriggerSettings(Settings):
    """What asks for a retrain; a person may always."""

    schedule: str | None = None
    """Times in UTC as five cron fields, such as `30 3 * * mon`: minute, hour, day, month, weekday."""
    new_labels: Annotated[int, Field(ge=1)] | None = None
    """Labels that have come since the last retrain."""
    quality_bound: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """A bound on live quality, lower or upper as the metric asks, that the whole 95% interval is beyond."""
    harm: Response = "retrain"
    """What follows when matured labels show that answers are surely worse than at release."""
    cost: CostSettings | None = None
    """Ask once it costs more to keep the version than to retrain, by matured labels at these prices."""
    drift: Response = "alert"
    """What follows when an input's values drift: drift alone need not do harm."""
    actions: ActionSettings = ActionSettings()
    """What follows where one of the others asks."""
    need: Literal["any", "all"] | Annotated[int, Field(ge=1)] = "any"
    """How many of the triggers that are set must ask at once; with `all`, each of them. One that
    only alerts does not count."""

    @property
    def n_set(self) -> int:
        """How many of them can ask."""
        return sum(self.action_of(trigger) is not None for trigger in TRIGGERS)

    def action_of(self, trigger: SetTrigger) -> RetrainAction | None:
        """What a trigger asks for; None where it is not set, is off or only alerts."""
        response = self.response_to(trigger)
        return None if response == "off" or response == "alert" else response

    def response_to(self, trigger: SetTrigger) -> Response:
        """What follows where a trigger asks; `off` where it is not set."""
        actions = self.actions
        responses: dict[SetTrigger, Response] = {
            "quality": "off" if self.quality_bound is None else actions.quality,
            "harm": self.harm,
            "cost": "off" if self.cost is None else actions.cost,
            "labels": "off" if self.new_labels is None else actions.labels,
            "drift": self.drift,
            "schedule": "off" if self.schedule is None else actions.schedule,
        }
        return responses[trigger]

    @property
    def n_needed(self) -> int:
        """How many must ask at once."""
        needs: dict[str | int, int] = {"any": 1, "all": max(1, self.n_set)}
        return needs.get(self.need, 0) or int(self.need)

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.n_needed > max(1, self.n_set):
            raise ValueError(f"need must be <= the {self.n_set} triggers that are set. Got {self.need}")
        return self

    @field_validator("schedule")
    @classmethod
    def _comes_round(cls, schedule: str | None) -> str | None:
        if schedule is None:
            return None
        try:
            parse_cron(schedule)
        except CronError as error:
            raise ValueError(str(error)) from error
        if next_time(schedule, datetime(2026, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(f"a schedule must name a day that exists. Got {schedule!r}")
        return schedule


class GateSettings(Settings):
    """What a challenger must show on recent labelled rows that neither model was trained or tuned on."""

    min_rows: Annotated[int, Field(ge=1)] = 100
    """With fewer rows the verdict is inconclusive, and the champion stays."""
    max_rows: Annotated[int, Field(ge=1)] = 500
    """The newest rows that judge, and as many before them that choose; the others train."""
    margin: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """How much better, in the task's metric, the whole 95% interval of the gain must be. Below 0 it is a
    margin of non-inferiority: a challenger passes unless it might be worse by more than that."""
    wait_labels: Annotated[int, Field(ge=0, le=100_000)] = 1_000
    """Where those rows do not tell: how many rows that are labelled later may go on to judge, one after the
    other; 0 is none, and the verdict is inconclusive at once."""
    deadline_s: Annotated[float, Field(gt=0)] = 3_600.0
    """How long they may be waited for; no other retrain begins meanwhile."""
    max_slice_loss: Annotated[float, Field(ge=0, le=1)] = 0.05
    """By how much the mean loss, in [0, 1], of no part of the rows may surely have risen."""
    max_calibration_loss: Annotated[float, Field(ge=0, le=1)] = 0.1
    """By how much probabilities may be further off than the champion's, in [0, 1]."""
    max_row_ms: Annotated[float, Field(gt=0)] | None = None
    """How long it may take to answer one row, in a process of its own."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    """How large its files may be."""


class ApprovalSettings(Settings):
    """How long a person may take, and what holds if none answers."""

    timeout_s: Annotated[float, Field(gt=0)] = DAY_S
    default: Literal["reject", "approve"] = "reject"
    url: Annotated[str, Field(pattern=r"^https?://\S+[^/]$")] | None = None
    """Where people reach the endpoint, `https://host/NAME`, for the link in an alert; none is its address."""


class AlertSettings(Settings):
    """Where alerts go beside the log."""

    webhook: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """A URL that takes alerts as JSON by POST, at least once each; `key` tells repetitions."""


class RetrainingSettings(Settings):
    """When to learn again, and who decides what serves."""

    mode: Mode = "auto"
    """`auto` retrains and promotes, `approve` asks before it promotes, `manual` does neither unasked."""
    triggers: TriggerSettings = TriggerSettings()
    warm_up_labels: Annotated[int, Field(ge=0)] = 200
    """Labels since the last retrain that quality, harm, cost or drift need before they ask for another."""
    cool_down_s: Annotated[float, Field(ge=0)] = 60.0
    """Rest after a retrain's verdict; doubled by each failure in a row, and by each retrain in a row that did
    not help but the first, up to 64 times."""
    max_per_day: Annotated[int, Field(ge=1, le=10_000)] = 24
    """Retrains in 24 hours beyond which only a person starts another."""
    max_cpu_s_per_day: Annotated[float, Field(gt=0)] | None = None
    """CPU seconds that retrains may have taken in 24 hours before only a person starts another."""
    max_gpu_s_per_day: Annotated[float, Field(gt=0)] | None = None
    """The same of GPU seconds: GPUs times the seconds for which trials held them."""
    job_timeout_s: Annotated[float, Field(gt=0)] = 1_800.0
    """How long a retrain may take, and how long its gate."""
    tick_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    """How often the controller looks."""
    gate: GateSettings = GateSettings()
    rollout: RolloutSettings = RolloutSettings()
    approval: ApprovalSettings = ApprovalSettings()
    alerts: AlertSettings = AlertSettings()
