"""What a registered version answers to rows that judge it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import RaypipeError
from raypipe.registry.values import ModelVersion
from raypipe.training.compare import Answers, aligned
from raypipe.training.task import Task

if TYPE_CHECKING:
    from raypipe.data.split import Rows
    from raypipe.serving.predictor import Predictor


def answers_to(rows: Rows, task: Task, folder: Path, version: ModelVersion) -> Answers:
    """Return a version's answers in the terms of a task; `folder` is the version's own.

    A version that is damaged, or does not answer as it did, has an error in their place.
    """
    from raypipe.serving.predictor import load_predictor

    try:
        predictor = load_predictor(folder, version.manifest_sha256)
    except RaypipeError as error:
        return Answers(version.version, None, str(error))
    return answers_of(predictor, version.version, rows, task)


def answers_of(predictor: Predictor, version: str, rows: Rows, task: Task) -> Answers:
    """Return the answers of a version that is loaded; what it raises is told in their place."""
    import numpy as np

    try:
        table = rows.take(np.arange(rows.num_rows))
        raw = predictor.model.predict(predictor.transform.transform_table(table))
    except RaypipeError as error:
        return Answers(version, None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a broken model raises is told of that model
        return Answers(version, None, f"{type(error).__name__}: {error}")
    return Answers(version, aligned(raw, predictor.task, task))
