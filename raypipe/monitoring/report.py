"""What was measured on one window of live traffic: light values that the controller folds and pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from raypipe.core.ids import Json
from raypipe.monitoring.decay import Decay


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
class ColumnEvidence:
    """The evidence that a column of the answered rows has drifted over a version's life; logs are natural.

    While nothing drifts, `log_evidence` ever reaches `log_needed` with a bounded probability, all columns
    and all looks together. `psi`, `ks` and `n_rows` are of the rows since the loudest test began.
    """

    column: str
    psi: float | None
    ks: float | None
    n_rows: int
    log_evidence: float
    log_needed: float
    """What one column alone needs; of several together, each needs less (e-BH)."""
    log_recent: float
    """Of the fast detector, which promises only how seldom it is wrong on average."""
    drifted: bool
    changed: bool
    """What the fast detector says."""
    n_alike: float
    """How many rows in a row tell as much as one."""

    @property
    def nearness(self) -> float:
        """How far the evidence is on the way to an alarm, from 0 to 1."""
        return min(1.0, max(0.0, self.log_evidence / self.log_needed))


@dataclass(frozen=True)
class HarmEvidence:
    """The evidence that a version's answers, or a slice of them, are worse than at release; logs are natural.

    The loss is 1 for a wrong class and 0 for the right one, or, of an amount, its error's rank among those of
    the graded rows, 1/2 on average at release. While the mean stays within `bound`, `log_evidence` ever
    reaches `log_needed` with a bounded probability.
    """

    of: str
    """A slice, such as `colour = red`; empty for all answers."""
    n_labels: int
    loss: float | None
    """The mean of all labels of matured answers; None without any."""
    at_release: float
    bound: float
    log_evidence: float
    log_needed: float
    log_recent: float
    log_recent_needed: float
    harmed: bool
    changed: bool
    """What the fast detector says, which promises only how seldom it is wrong on average."""

    @property
    def nearness(self) -> float:
        """How far the evidence is on the way to an alarm, from 0 to 1."""
        return min(1.0, max(0.0, self.log_evidence / self.log_needed))


@dataclass(frozen=True)
class Cohort:
    """Answers that were taken together; the bounds are the mean loss, were missing labels right, or wrong."""

    last_at: datetime
    n_answers: int
    n_labelled: int
    low: float
    high: float


@dataclass(frozen=True)
class Matured:
    """The answers that are as old as labels take, in all and by cohort, the newest last."""

    n_answers: int
    n_labelled: int
    low: float | None
    """The mean loss, were all missing labels to say that the answer was right; None without answers."""
    high: float | None
    """The mean loss, were all missing labels to say that it was wrong."""
    mature_after_s: float | None
    ever_labelled_ratio: float
    """The estimated share of answers that ever get a label."""
    delay_p50_s: float | None
    delay_p95_s: float | None
    """Of the labels that ever come, those still on their way counted in."""
    cohorts: tuple[Cohort, ...] = ()


@dataclass(frozen=True)
class EstimatedQuality:
    """A loss of the newest answers that was not measured, with a 95% interval; it informs and never decides.

    `loss` is `error`, the share of wrong classes, or `mae`.
    """

    loss: str
    value: float
    low: float
    high: float
    basis: Literal["estimated", "estimated and corrected"]
    n_rows: int
    n_labels: int
    """Of those rows, which corrected the estimate; 0 where nothing did."""
    measured: float | None
    """The mean of the labels that have come for the same rows, to check the estimate by."""


@dataclass(frozen=True)
class UnitChange:
    """A drifted input whose values are all that many times what they were: another unit, perhaps."""

    column: str
    factor: float


@dataclass(frozen=True)
class JointEvidence:
    """How well a classifier tells a sample of live rows from training rows; it informs and never decides.

    `auc` is 0.5 where it cannot. Looked at every few thousand rows; the n-th look needs a p-value below
    `p_needed`, so that all looks together are wrong with a bounded probability.
    """

    nth: int
    auc: float
    p_value: float
    p_needed: float

    @property
    def told_apart(self) -> bool:
        return self.p_value <= self.p_needed


@dataclass(frozen=True)
class ReleaseScore:
    """A version's score on the rows that graded it, with a 95% interval; None where they do not define it."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n_rows: int


@dataclass(frozen=True)
class Signals:
    """What is known of the serving version over its whole life."""

    n_rows: int
    """Answered rows that were counted, each id once."""
    inputs: tuple[ColumnEvidence, ...] = ()
    outputs: tuple[ColumnEvidence, ...] = ()
    """The answers' own distribution, compared with that on graded rows."""
    harm: HarmEvidence | None = None
    """None where the version keeps no graded rows."""
    slices: tuple[HarmEvidence, ...] = ()
    matured: Matured | None = None
    estimated: EstimatedQuality | None = None
    units: tuple[UnitChange, ...] = ()
    joint: JointEvidence | None = None
    """None before the first few thousand rows."""
    decay: Decay | None = None
    """None while too few labels tell of it."""
    release: ReleaseScore | None = None
    """None where the version keeps no graded rows, or none with their score."""


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
    signals: Signals | None = None
    """None where the version keeps nothing to compare with."""
    capture_lag_s: float | None = None
    """How old the newest answer was when it was first seen here; None without any."""

    @property
    def drifted(self) -> tuple[str, ...]:
        """The inputs that have drifted, the furthest first."""
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
            "capture_lag_s": self.capture_lag_s,
            "signals": msgspec.to_builtins(self.signals),
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
                "capture_lag_s": fields.get("capture_lag_s"),
                "signals": msgspec.convert(fields.get("signals"), Signals | None),
            }
        )


def _quality(value: Mapping[str, Any] | None) -> LiveQuality | None:
    if value is None:
        return None
    versions = tuple(VersionQuality(**one) for one in value["by_version"])
    return LiveQuality(**{**value, "by_version": versions})
