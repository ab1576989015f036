"""What the fit chose, what it left out, and why."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json


@dataclass(frozen=True)
class FeatureChoice:
    """The decision about one column."""

    column: str
    n_features: int
    """Features made of it; 0 where it was left out."""
    reason: str
    """How it is used, or why it is not: "is the label", "median for missing values, scaled"."""

    @property
    def used(self) -> bool:
        return self.n_features > 0

    def __str__(self) -> str:
        made = f"{self.n_features} features" if self.n_features != 1 else "1 feature"
        return f"{self.column}: {made if self.used else 'left out'} ({self.reason})"

    def to_json(self) -> dict[str, Json]:
        return {"column": self.column, "n_features": self.n_features, "reason": self.reason}

    @classmethod
    def from_json(cls, value: Json) -> FeatureChoice:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {"column": str(column), "n_features": int(n_features), "reason": str(reason)}:
                return cls(column, n_features, reason)
            case _:
                raise ArtifactError(f"A choice must have column, n_features and reason. Got {value!r:.200}.")
