"""How much each column matters to a model, what is suspicious about it, and how that moved; light values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval

Flag = Literal["leak", "constant", "duplicate", "useless"]
FLAGS: tuple[Flag, ...] = get_args(Flag)
IMPORTANCE_NAME = "importance.json"


@dataclass(frozen=True)
class Finding:
    """What is suspicious about a column, and the sentence that says why."""

    flag: Flag
    why: str


@dataclass(frozen=True)
class Before:
    """What a column was worth to the version before."""

    rank: int
    value: Interval


@dataclass(frozen=True)
class ColumnImportance:
    """What a model loses without what one column says."""

    column: str
    n_features: int
    """Features made of it; 0 where it was left out."""
    rank: int | None
    """1 for the most important; none where it was left out."""
    value: Interval | None
    """By how much the score worsens where the column's values are shuffled among the rows."""
    alone: float | None
    """The score of a small tree that sees this column alone."""
    findings: tuple[Finding, ...] = ()
    before: Before | None = None

    @property
    def has_moved(self) -> bool:
        """Whether its interval and that of the version before do not overlap."""
        if self.before is None or self.value is None:
            return False
        return self.value.low > self.before.value.high or self.value.high < self.before.value.low


@dataclass(frozen=True)
class Importance:
    """The columns of a model version, the most important first, those left out last."""

    metric: str
    score: float
    """The model's score on the sample of validation rows that all of this was measured on."""
    n_rows: int
    n_validation_rows: int
    repeats: int
    columns: tuple[ColumnImportance, ...]
    before: str | None = None
    """The version that it is compared with; none where there is none that was judged by the same metric."""

    @property
    def measured_on(self) -> str:
        """Say on which rows all of this was measured, and how."""
        part = f"a sample of {self.n_rows:,} of " if self.n_rows < self.n_validation_rows else "all "
        rows = f"{part}{self.n_validation_rows:,} validation rows"
        return f"Measured on {rows}, each column shuffled {self.repeats} times; 95% intervals."

    def compared_with(self, version: str, earlier: Importance) -> Importance:
        """Return the same with what each column was worth to an earlier version."""
        if earlier.metric != self.metric:
            return self
        was = {one.column: one for one in earlier.columns}
        columns = tuple(replace(one, before=_before(was.get(one.column))) for one in self.columns)
        return replace(self, columns=columns, before=version)

    def with_flag(self, flag: Flag) -> Iterator[ColumnImportance]:
        """Yield the columns that a flag was raised for."""
        return (one for one in self.columns if any(found.flag == flag for found in one.findings))

    def to_json(self) -> Json:
        """Return plain JSON values that `from_json` reads back."""
        return {
            "metric": self.metric,
            "score": self.score if self.score == self.score else None,
            "n_rows": self.n_rows,
            "n_validation_rows": self.n_validation_rows,
            "repeats": self.repeats,
            "before": self.before,
            "columns": [_column_json(one) for one in self.columns],
        }

    @staticmethod
    def from_json(value: Json) -> Importance:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        match value:
            case {
                "metric": str(metric),
                "score": int() | float() | None as score,
                "n_rows": int(n_rows),
                "n_validation_rows": int(n_validation_rows),
                "repeats": int(repeats),
                "before": str() | None as before,
                "columns": [*columns],
            }:
                return Importance(
                    metric,
                    _number(score),
                    n_rows,
                    n_validation_rows,
                    repeats,
                    tuple(_column_of(column) for column in columns),
                    before,
                )
            case _:
                raise ValueError(f"the importance of columns is an object. Got {value!r:.200}")


def read_importance(folder: Path) -> Importance | None:
    """Return the importance that a version's folder holds; None where it was not measured."""
    try:
        return Importance.from_json(json.loads((folder / IMPORTANCE_NAME).read_bytes()))
    except FileNotFoundError:
        return None


def summary_of(importance: Importance, *, n_named: int = 3) -> Iterator[str]:
    """Yield what a person should know at once: what matters most, and the columns under each flag."""
    used = [one for one in importance.columns if one.value is not None]
    named = (f"{one.column} {one.value.value:.3g}" for one in used[:n_named] if one.value is not None)
    yield f"importance (loss of {importance.metric} without it): {', '.join(named)}"
    for flag in FLAGS:
        if names := [one.column for one in importance.with_flag(flag)]:
            yield f"{flag}: {', '.join(names)}"


def _before(was: ColumnImportance | None) -> Before | None:
    if was is None or was.rank is None or was.value is None:
        return None
    return Before(was.rank, was.value)


def _column_json(one: ColumnImportance) -> Json:
    return {
        "column": one.column,
        "n_features": one.n_features,
        "rank": one.rank,
        "value": None if one.value is None else one.value.to_json(),
        "alone": one.alone if one.alone == one.alone else None,
        "findings": [{"flag": found.flag, "why": found.why} for found in one.findings],
        "before": None
        if one.before is None
        else {"rank": one.before.rank, "value": one.before.value.to_json()},
    }


def _column_of(value: Json) -> ColumnImportance:
    match value:
        case {
            "column": str(column),
            "n_features": int(n_features),
            "rank": int() | None as rank,
            "value": list() | None as found,
            "alone": int() | float() | None as alone,
            "findings": [*findings],
            "before": before,
        }:
            return ColumnImportance(
                column,
                n_features,
                rank,
                None if found is None else Interval.from_json(found),
                None if alone is None else float(alone),
                tuple(_finding_of(finding) for finding in findings),
                _before_of(before),
            )
        case _:
            raise ValueError(f"the importance of a column is an object. Got {value!r:.200}")


def _finding_of(value: Json) -> Finding:
    match value:
        case {"flag": "leak" | "constant" | "duplicate" | "useless" as flag, "why": str(why)}:
            return Finding(flag, why)
        case _:
            raise ValueError(f"a finding has a flag and says why. Got {value!r:.200}")


def _before_of(value: Json) -> Before | None:
    match value:
        case None:
            return None
        case {"rank": int(rank), "value": list(found)}:
            return Before(rank, Interval.from_json(found))
        case _:
            raise ValueError(f"what was before has a rank and a value. Got {value!r:.200}")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
