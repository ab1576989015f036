"""What the fit chose, what it left out, and why; and what it changes in the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from raypipe.processing.steps import FittedStep
    from raypipe.processing.transform import FittedTransform


@dataclass(frozen=True)
class StepFit:
    """What the fit made of a column: its step, or none, and in words how it is used, or why it is not."""

    step: FittedStep | None
    reason: str
    changed: Mapping[str, int] = field(default_factory=dict)
    """How many of the column's training values are changed, by how: filled, infinite, clipped, rare."""
    fold_tables: npt.NDArray[np.float32] | None = None
    """What replaces the step's table on training rows, where that differs: (folds, codes, features)."""


@dataclass(frozen=True)
class TrainingRows:
    """What was fitted on."""

    n_rows: int = 0
    n_duplicates: int = 0
    """Rows that were dropped before the split, as equal ones stayed."""

    def to_json(self) -> dict[str, Json]:
        return {"n_rows": self.n_rows, "n_duplicates": self.n_duplicates}


@dataclass(frozen=True)
class FeatureChoice:
    """The decision about one column."""

    column: str
    n_features: int
    """Features made of it; 0 where it was left out."""
    reason: str
    """How it is used, or why it is not: "is the label", "median for missing values, scaled"."""
    changed: Mapping[str, int] = field(default_factory=dict)
    """How many of its training values are changed, by how; what changes none is left out."""
    rule: Mapping[str, Json] = field(default_factory=dict)
    """What to write under `processing.columns`, `crosses` or `custom` to have it decided so again."""

    @property
    def used(self) -> bool:
        return self.n_features > 0

    def __str__(self) -> str:
        made = f"{self.n_features} features" if self.n_features != 1 else "1 feature"
        return f"{self.column}: {made if self.used else 'left out'} ({self.reason})"

    def to_json(self) -> dict[str, Json]:
        return {
            "column": self.column,
            "n_features": self.n_features,
            "reason": self.reason,
            "changed": dict(self.changed),
            "rule": dict(self.rule),
        }

    @classmethod
    def from_json(cls, value: Json) -> FeatureChoice:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {
                "column": str(column),
                "n_features": int(n_features),
                "reason": str(reason),
                "changed": Mapping() as changed,
                "rule": Mapping() as rule,
            }:
                counts = {how: n for how, n in changed.items() if isinstance(n, int)}
                return cls(column, n_features, reason, counts, rule)
            case _:
                raise ArtifactError(
                    f"A choice must have column, n_features, reason, changed and rule. Got {value!r:.200}."
                )


def report_lines(transform: FittedTransform) -> Iterator[str]:
    """Yield what a run tells of its features: how many, of what, and what they change in training rows."""
    used = sum(choice.used for choice in transform.choices)
    left_out = len(transform.choices) - used
    yield f"{len(transform.feature_names)} features of {used} columns, {left_out} left out"
    rows = transform.trained_on
    if rows.n_duplicates:
        yield f"{rows.n_duplicates:,} duplicate rows dropped before the split"
    changed = [f"{sum(by.values()):,} {how} ({_most(by)})" for how, by in cells_changed(transform).items()]
    if changed:
        yield f"cells changed in {rows.n_rows:,} training rows: {', '.join(changed)}"


def cells_changed(transform: FittedTransform) -> dict[str, dict[str, int]]:
    """Return how many cells of the training rows are changed, by how and by column."""
    found: dict[str, dict[str, int]] = {}
    for choice in transform.choices:
        for how, n in choice.changed.items():
            found.setdefault(how, {})[choice.column] = n
    return found


def _most(by_column: Mapping[str, int], n_named: int = 3) -> str:
    """Name the columns with most cells."""
    names = sorted(by_column, key=lambda name: (-by_column[name], name))
    return ", ".join(names[:n_named]) + (f" and {len(names) - n_named} more" if len(names) > n_named else "")
