"""What a run learns from, before any feature is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raypipe.core.ids import Json, content_id
from raypipe.processing.out_of_fold import OutOfFold
from raypipe.training.config import TrainingSettings

if TYPE_CHECKING:
    from raypipe.data.profile import Profile
    from raypipe.data.split import Split
    from raypipe.processing.transform import FittedTransform
    from raypipe.training.recipe import Recipe
    from raypipe.training.task import Task

MIN_WINDOW_ROWS = 200
WITHOUT_EFFECT = {"resources", "importance", "code"}
"""Training settings that change no model."""


@dataclass(frozen=True)
class Prepared:
    """Rows split, what to learn from them, and how they become features."""

    split: Split
    task: Task
    transform: FittedTransform
    profile: Profile
    """Of the training rows."""
    out_of_fold: OutOfFold = field(default_factory=OutOfFold)
    """What replaces features of training rows that would tell their own label."""
    windows: tuple[int, ...] = ()
    """How many of the newest training rows a trial may learn from; all if empty."""
    champion: str | None = None
    """The version whose rows neither choose nor judge; None where rows of the sources do."""
    recipe: Recipe | None = None
    """What is trained in the place of a search."""
    note: str = ""
    """Why something else was prepared than was asked for; empty where it was not."""

    def content(self, data: str, settings: TrainingSettings, frameworks: dict[str, str]) -> str:
        """Return the id of what a race is made from: equal ids, equal features, targets and budgets.

        The transform was fitted to the training rows and holds their statistics, so no feature need be made.
        """
        parts = (self.split.train, self.split.validation, self.split.test)
        made_from: dict[str, Json] = {
            "data": data,
            "split": [self.split.by, *self.split.boundaries, *(part.num_rows for part in parts)],
            "champion": self.champion,
            "windows": list(self.windows),
            "transform": self.transform.to_json(),
            "task": self.task.to_json(),
            "training": settings.model_dump(mode="json", exclude=WITHOUT_EFFECT),
            "frameworks": frameworks,
        }
        if self.recipe is not None:
            made_from["recipe"] = self.recipe.to_json()
        return content_id("c", made_from)


def windows_of(n_rows: int) -> tuple[int, ...]:
    """Return how far back a retrain may look: few rows learn a new concept, many an old one well.

    The validation rows, which are newer, choose.
    """
    wanted = (n_rows // 8, n_rows, n_rows // 64)
    return tuple(n for n in wanted if n >= MIN_WINDOW_ROWS) or (n_rows,)
