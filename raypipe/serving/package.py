"""A version's folder as a run writes it: the model, the transform, golden rows, the settings and a card."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.files import storage_errors, write_json
from raypipe.core.ids import Json
from raypipe.registry.card import CardColumn, CardEntry, CardPart, ModelCard, render_card
from raypipe.serving.golden import golden_rows, write_golden
from raypipe.serving.predictor import MODEL_FOLDER, TRANSFORM_NAME, Predictor
from raypipe.training.leaderboard import BASELINE, Leaderboard
from raypipe.training.models import load_model

if TYPE_CHECKING:
    from raypipe.data.split import Split
    from raypipe.processing.transform import FittedTransform
    from raypipe.training.race import Candidate
    from raypipe.training.task import Task

CARD_NAME = "CARD.md"
SETTINGS_NAME = "config.json"


@dataclass(frozen=True)
class Package:
    """What a run knows of the version that it is about to register."""

    pipeline: str
    run: str
    data_version: str
    created_at: datetime
    settings: Json
    """The config, with which the version can be made again."""
    candidate: Candidate
    transform: FittedTransform
    split: Split
    task: Task
    leaderboard: Leaderboard


def write_package(folder: Path, package: Package) -> None:
    """Write everything but the manifest into a fresh folder.

    Raises StorageError for a disk that refuses, ArtifactError for a model that cannot answer its golden rows.
    """
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(package.candidate.folder, folder / MODEL_FOLDER)
    write_json(folder / TRANSFORM_NAME, package.transform.to_json())
    write_json(folder / SETTINGS_NAME, package.settings)
    model = load_model(folder / MODEL_FOLDER, package.candidate.format)
    rows = golden_rows(package.split.test, package.transform.inputs)
    write_golden(Predictor(package.transform, package.task, model), rows, folder)
    with storage_errors(folder):
        (folder / CARD_NAME).write_text(render_card(_card(package, rows[0])), encoding="utf-8")
