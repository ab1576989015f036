"""What a race found: every family's best on the same test rows, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval

__all__ = ["BASELINE", "Interval", "Leaderboard", "LeaderboardEntry", "Resampling"]

BASELINE = "baseline"
Resampling = Literal["rows", "blocks"]


@dataclass(frozen=True)
class LeaderboardEntry:
    """The best model of one family, judged once on the test rows."""

    family: str
    trial_id: str
    format: str
    params: Mapping[str, Json]
    validation: Interval
    """The score by which it was chosen: optimistic, as the best of many."""
    test: Interval
    other_metrics: Mapping[str, Interval]
    """The other metrics that fit the task, on the test rows."""
    behind_winner: Interval | None
    """How much worse than the winner, paired on the test rows (positive is worse); none for the winner."""
    over_baseline: Interval | None
    """How much better than the baseline, paired on the test rows; none for the baseline itself."""
    train_s: float
    predict_us: float
    """Median microseconds of one call that predicts one row."""
    size_bytes: int

    @property
    def tied_with_winner(self) -> bool:
        """Whether the test rows cannot tell it from the winner."""
        return self.behind_winner is None or not self.behind_winner.excludes_zero

    @property
    def beats_baseline(self) -> bool:
        """Whether the interval of its gain over the baseline lies above zero."""
        return self.over_baseline is not None and self.over_baseline.low > 0

    def to_json(self) -> Json:
        return {
            "family": self.family,
            "trial_id": self.trial_id,
            "format": self.format,
            "params": dict(self.params),
            "validation": self.validation.to_json(),
            "test": self.test.to_json(),
            "other_metrics": {name: interval.to_json() for name, interval in self.other_metrics.items()},
            "behind_winner": self.behind_winner.to_json() if self.behind_winner else None,
            "over_baseline": self.over_baseline.to_json() if self.over_baseline else None,
            "train_s": self.train_s,
            "predict_us": self.predict_us,
            "size_bytes": self.size_bytes,
        }

    @staticmethod
    def from_json(value: Json) -> LeaderboardEntry:
        entry = _object(value)
        return LeaderboardEntry(
            family=str(entry["family"]),
            trial_id=str(entry["trial_id"]),
            format=str(entry["format"]),
            params=_object(entry["params"]),
            validation=Interval.from_json(entry["validation"]),
            test=Interval.from_json(entry["test"]),
            other_metrics={k: Interval.from_json(v) for k, v in _object(entry["other_metrics"]).items()},
            behind_winner=_interval_or_none(entry["behind_winner"]),
            over_baseline=_interval_or_none(entry["over_baseline"]),
            train_s=_number(entry["train_s"]),
            predict_us=_number(entry["predict_us"]),
            size_bytes=int(_number(entry["size_bytes"])),
        )


@dataclass(frozen=True)
class Leaderboard:
    """Every family's best beside the baseline, best validation score first."""

    metric: str
    larger_is_better: bool
    winner: str
    """The family with the best validation score; the test rows choose nothing."""
    entries: tuple[LeaderboardEntry, ...]
    n_validation_rows: int
    n_test_rows: int
    resampling: Resampling = field(default="rows")
    """What the bootstrap drew: rows, or blocks of neighbours where rows are in time order."""

    @property
    def best(self) -> LeaderboardEntry:
        """The winner's entry."""
        return self.entry(self.winner)

    def entry(self, family: str) -> LeaderboardEntry:
        """Return the entry of one family; raises KeyError where it did not finish."""
        for entry in self.entries:
            if entry.family == family:
                return entry
        raise KeyError(family)

    def to_json(self) -> Json:
        return {
            "metric": self.metric,
            "larger_is_better": self.larger_is_better,
            "winner": self.winner,
            "entries": [entry.to_json() for entry in self.entries],
            "n_validation_rows": self.n_validation_rows,
            "n_test_rows": self.n_test_rows,
            "resampling": self.resampling,
        }

    @staticmethod
    def from_json(value: Json) -> Leaderboard:
        board = _object(value)
        entries = board["entries"]
        if not isinstance(entries, list):
            raise ValueError(f"the entries of a leaderboard are a list. Got {entries!r}")
        return Leaderboard(
            metric=str(board["metric"]),
            larger_is_better=bool(board["larger_is_better"]),
            winner=str(board["winner"]),
            entries=tuple(LeaderboardEntry.from_json(entry) for entry in entries),
            n_validation_rows=int(_number(board["n_validation_rows"])),
            n_test_rows=int(_number(board["n_test_rows"])),
            resampling="blocks" if board["resampling"] == "blocks" else "rows",
        )


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a number is needed. Got {value!r}")
    return float(value)


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError(f"an object is needed. Got {value!r}")
    return value


def _interval_or_none(value: Json) -> Interval | None:
    return None if value is None else Interval.from_json(value)
