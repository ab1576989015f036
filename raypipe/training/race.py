"""What goes into a race between model families, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raypipe.core.ids import Json
from raypipe.training.models import Float32Matrix
from raypipe.training.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from raypipe.training.feature_files import FeatureFiles
    from raypipe.training.recipe import Recipe

TrialStatus = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class TrainingSet:
    """Encoded rows to learn from and to choose by; targets are int64 codes or float64 values."""

    x_train: Float32Matrix
    y_train: NDArray[np.int64] | NDArray[np.float64]
    x_validation: Float32Matrix
    y_validation: NDArray[np.int64] | NDArray[np.float64]
    task: Task
    feature_names: tuple[str, ...]
    windows: tuple[int, ...] = ()
    """Numbers of the newest training rows, which must be in time order, to learn from; all rows if empty."""
    files: FeatureFiles | None = None
    """Where all of it is, and the test rows; None where it is in memory."""
    recipe: Recipe | None = None
    """What is trained in the place of a search."""

    def recent(self, n_rows: int) -> TrainingSet:
        """Return the same with the newest training rows alone."""
        return replace(self, x_train=self.x_train[-n_rows:], y_train=self.y_train[-n_rows:], files=None)

    def __reduce__(self) -> tuple[Callable[..., TrainingSet], tuple[object, ...]]:
        """Let a copy in another process map the files anew: many nodes must share their folder."""
        if self.files is None:
            return TrainingSet, tuple(getattr(self, one.name) for one in fields(self))
        return mapped, (self.files, self.task, self.feature_names, self.windows, self.recipe)


def mapped(
    files: FeatureFiles,
    task: Task,
    feature_names: tuple[str, ...],
    windows: tuple[int, ...],
    recipe: Recipe | None = None,
) -> TrainingSet:
    """Return the training and validation rows of files, none of which is read yet."""
    (x_train, y_train), (x_validation, y_validation) = (
        (files.features(part), files.target(part)) for part in (0, 1)
    )
    return TrainingSet(
        x_train, y_train, x_validation, y_validation, task, feature_names, windows, files, recipe
    )


@dataclass(frozen=True)
class Candidate:
    """The best model of one family by validation score, saved."""

    family: str
    params: Mapping[str, Json]
    score: float
    """The task's metric on the validation rows."""
    train_s: float
    folder: Path
    """Holds the model's files and nothing else."""
    format: str
    trial_id: str


@dataclass(frozen=True)
class TrialSummary:
    """How one trial ended."""

    trial_id: str
    family: str
    params: Mapping[str, Json]
    score: float | None
    """Its best validation score; none where it failed before the first."""
    status: TrialStatus
    """`stopped`: ended early, as others were better at the same rung or the time was over."""
    rung: int
    """How many rungs it reached; 0 where it failed before the first."""
    train_s: float
    reason: str = ""
    """Why it failed, in one line."""
    attempt: int = 1
    """In which attempt of its run it was trained; a run that died is attempted again."""
    held_s: float = 0.0
    """Seconds for which it held its CPUs and GPUs, scoring and failing included."""


@dataclass(frozen=True)
class RaceResult:
    """The best candidate of every family that finished, `baseline` included, and all trials."""

    candidates: tuple[Candidate, ...]
    trials: tuple[TrialSummary, ...]
