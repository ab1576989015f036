"""What the `retraining.rollout` part of a config says: a challenger's way from its gate to all traffic."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from raypipe.core.settings import Settings

DAY_S = 86_400.0


class ShadowSettings(Settings):
    """A challenger is asked, beside the champion, what clients asked; they notice nothing."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """The part of the captured rows that it is asked, chosen by a hash of their ids."""
    min_rows: Annotated[int, Field(ge=1)] = 200
    """Rows that it must have been asked."""
    hold_s: Annotated[float, Field(ge=0)] = 0.0
    """How long the step takes at least."""
    deadline_s: Annotated[float, Field(gt=0)] = DAY_S
    """How long it may take; what is not shown by then is inconclusive, and the champion stays."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """By how much its mean loss, in [0, 1], may lie above the champion's: shown to be less, it goes on."""
    max_error_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The part of its rows that may fail."""
    max_slowdown: Annotated[float, Field(ge=1)] = 10.0
    """How many times the champion's time it may take, at the median of the rows."""


class CanarySettings(Settings):
    """A challenger answers a growing part of the traffic, in the champion's own replicas."""

    weights: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (0.1, 0.5)
    """The part of the traffic at each step."""
    sticky_column: str | None = None
    """A column of the request whose value decides who answers; None lets a request's own bytes decide."""
    sticky_header: str | None = None
    """A header whose value decides; one of the two at most."""
    hold_s: Annotated[float, Field(ge=0)] = 60.0
    """How long a step takes at least."""
    deadline_s: Annotated[float, Field(gt=0)] = DAY_S
    """How long a step may take; what is not shown by then is inconclusive, and the champion answers all."""
    tolerance: Annotated[float, Field(gt=1)] = 2.0
    """How many times the champion's mean loss is too much: shown to be less, the next step comes."""
    harm: Annotated[float, Field(gt=1)] = 2.0
    """The ratio of mean losses for which the rows that a step may spend are computed."""
    miss: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """How often that number of rows may be too few for a verdict."""
    max_error_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The part of its rows that may fail; clients get the champion's answer to those."""
    slow_ms: Annotated[float, Field(gt=0)] = 100.0
    """An answer that takes longer is slow; more slow ones than the champion has is harm."""
    max_rows: Annotated[int, Field(ge=1)] = 20_000
    """What a step may spend at most, whatever was computed."""

    @field_validator("weights")
    @classmethod
    def _grow(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if list(weights) != sorted(set(weights)):
            raise ValueError(f"weights must grow. Got {list(weights)}")
        return weights


class RolloutSettings(Settings):
    """The steps between a gate that was passed and the champion's place; none by default."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The probability that a challenger is taken back for harm that it does not do, over all steps and
    signals; and, at each step, that one which is too bad goes on."""
    shadow: ShadowSettings | None = None
    canary: CanarySettings | None = None

    @property
    def alpha_of_each(self) -> float:
        """What a signal of one step may spend of alpha: errors, latency and quality share it."""
        n_steps = (self.shadow is not None) + (len(self.canary.weights) if self.canary else 0)
        return self.alpha / (3 * max(1, n_steps))
