"""What is known of a challenger beside the champion on live traffic; bets add up over rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import msgspec

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.policy.rollout import CanarySettings, ShadowSettings
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets


@dataclass(frozen=True)
class Baseline:
    """The champion's own losses, each in [0, 1], before any canary answered."""

    n_labels: int = 0
    loss: float = 0.0
    """Their sum."""

    @property
    def mean(self) -> float | None:
        return self.loss / self.n_labels if self.n_labels else None


@dataclass(frozen=True)
class ShadowEvidence:
    """What a challenger answered to rows that the champion had answered.

    The bets are on (1 + d) / 2 and (1 - d) / 2, where d in [-1, 1] is its loss less the champion's.
    """

    failed: Bets
    higher: Bets
    lower: Bets
    n_rows: int = 0
    n_agreed: int = 0
    """Rows with the champion's class, or its number up to a part in a million."""
    mean_difference: float = 0.0
    """The mean absolute difference of the answers: of the probabilities, or of the numbers."""
    slowdown: float | None = None
    """The median of its time for a batch of rows over the champion's for the same."""

    @classmethod
    def none(cls, settings: ShadowSettings) -> ShadowEvidence:
        """Return what is known before the first row."""
        return cls(Bets.none(settings.max_error_ratio), Bets.none(0.5), Bets.none((1 - settings.margin) / 2))

    @property
    def n_labels(self) -> int:
        return self.higher.n


@dataclass(frozen=True)
class CanaryEvidence:
    """What a challenger answered to clients in one step, beside what the champion answered meanwhile."""

    failed: Bets
    """Its rows, 1 for one that the champion had to answer in its place."""
    slow: Arms
    losses: Arms

    @classmethod
    def none(cls, settings: CanarySettings) -> CanaryEvidence:
        """Return what is known before the first row."""
        arms = Arms(settings.tolerance)
        return cls(Bets.none(settings.max_error_ratio), arms, arms)

    @property
    def n_rows(self) -> int:
        """The rows of clients that it was asked."""
        return self.failed.n


@dataclass(frozen=True)
class RolloutEvidence:
    """All that is known of a rollout; `canary` is by the epoch of the pointer that set a step's weight."""

    baseline: Baseline = Baseline()
    shadow: ShadowEvidence | None = None
    canary: dict[int, CanaryEvidence] = field(default_factory=dict)

    def to_json(self) -> Json:
        return cast("Json", msgspec.to_builtins(self, str_keys=True))

    @classmethod
    def from_json(cls, value: Json) -> RolloutEvidence:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        try:
            return msgspec.convert(value, cls, str_keys=True)
        except msgspec.ValidationError as error:
            raise SchemaError(
                f"Evidence of a rollout must be as it was written: {error}. Got {value!r:.200}."
            ) from error
