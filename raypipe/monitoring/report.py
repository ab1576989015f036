"""What was measured on one window of live traffic: light values that the controller folds and pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from raypipe.core.ids import Json


@dataclass(frozen=True)
class FeatureDrift:
    """How far the values of one input lie from those of the training rows.

    `psi` and `ks` are None where there are no rows to compare; `ks` also for what has no order.
    """

    column: str
    psi: float | None
    ks: float | None
    n_rows: int
    missing_ratio: float
    unseen_ratio: float
    """The share of rows with a category that no training row had, or a number outside their range."""
    drifted: bool


@dataclass(frozen=True)
class VersionQuality:
    """The score of one version on its newest labelled rows; None where they do not define it."""

    version: str
    value: float | None
    n_labels: int


@dataclass(frozen=True)
class LiveQuality:
    """The serving version's score on its newest labelled rows, with a 95% interval.

    `value`, `low` and `high` are None where the rows do not define them, as auc on one class.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n_labels: int
    n_left_out: int
    """Labelled rows of the window whose label is none of the task's classes."""
    by_version: tuple[VersionQuality, ...]
    """This and earlier versions, the one that answered last first."""


@dataclass(frozen=True)
class LabelCounts:
    """What came of labels, and how late.

    A label is unknown where no captured prediction has its id, repeated where the same came before, and a
    correction where another came before. Delays are from the answer on, of those labels that count which came
    last: as many as the window of labels holds.
    """

    n_predictions: int = 0
    n_redelivered: int = 0
    """Answers beyond the first to one id."""
    n_labelled: int = 0
    n_unknown: int = 0
    n_repeated: int = 0
    n_corrected: int = 0
    delay_p50_s: float | None = None
    delay_p90_s: float | None = None
    delay_max_s: float | None = None


@dataclass(frozen=True)
class WindowReport:
    """What was measured at one time; `n_labels` counts all labelled predictions, `n_rows` the window's."""

    at: datetime
    version: str
    n_rows: int
    n_labels: int
    quality: LiveQuality | None
    """None while the serving version has fewer labelled rows than `min_labels`."""
    drift: tuple[FeatureDrift, ...]
    labels: LabelCounts

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that have drifted, the furthest first."""
        found = sorted((one for one in self.drift if one.drifted), key=lambda one: -(one.psi or 0.0))
        return tuple(one.column for one in found)

    def to_json(self) -> Json:
        """Return plain JSON values that `from_json` reads back."""
        return {
            "at": self.at.isoformat(),
            "version": self.version,
            "n_rows": self.n_rows,
            "n_labels": self.n_labels,
            "quality": None if self.quality is None else asdict(self.quality),
            "drift": [asdict(one) for one in self.drift],
            "labels": asdict(self.labels),
        }

    @classmethod
    def from_json(cls, value: Any) -> WindowReport:
        """Read what `to_json` wrote."""
        fields: Mapping[str, Any] = dict(value)
        drift: Sequence[Mapping[str, Any]] = fields["drift"]
        return cls(
            **{
                **fields,
                "at": datetime.fromisoformat(fields["at"]),
                "quality": _quality(fields["quality"]),
                "drift": tuple(FeatureDrift(**one) for one in drift),
                "labels": LabelCounts(**fields["labels"]),
            }
        )


def _quality(value: Mapping[str, Any] | None) -> LiveQuality | None:
    if value is None:
        return None
    versions = tuple(VersionQuality(**one) for one in value["by_version"])
    return LiveQuality(**{**value, "by_version": versions})
