"""A version's folder as a run writes it: the model, the transform, golden rows, the settings and a card."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.files import storage_errors, write_json
from raypipe.core.ids import Json
from raypipe.monitoring.graded import write_graded
from raypipe.monitoring.reference import Reference, write_reference
from raypipe.processing.rules import as_config
from raypipe.processing.stored import write_transform
from raypipe.registry.card import CardColumn, CardEntry, CardPart, CardWorth, ModelCard, render_card
from raypipe.registry.manifest import ManifestDraft
from raypipe.serving.golden import golden_rows, read_golden, write_golden
from raypipe.serving.grading import grade
from raypipe.serving.predictor import MODEL_FOLDER, Predictor
from raypipe.training.frameworks import frameworks
from raypipe.training.importance import IMPORTANCE_NAME, Importance
from raypipe.training.leaderboard import BASELINE, Leaderboard
from raypipe.training.models import load_model

if TYPE_CHECKING:
    from raypipe.data.profile import Profile
    from raypipe.data.split import Split
    from raypipe.processing.transform import FittedTransform
    from raypipe.training.race import Candidate
    from raypipe.training.task import Task

CARD_NAME = "CARD.md"
SETTINGS_NAME = "config.json"
PROCESSING_NAME = "processing.yaml"
"""The `processing` part of a config that chooses for each column what was chosen."""


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
    profile: Profile | None = None
    """Of the training rows; made anew where it is not given."""
    importance: Importance | None = None
    slices: Collection[str] = ()
    """Columns by whose values the version is graded too; those that are no inputs are passed over."""
    imported_from: str = ""
    """The file that the model was made elsewhere as; empty for one that was learned here."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The digest of the code that the model needs beside raypipe, by import path."""


def write_package(folder: Path, package: Package) -> None:
    """Write everything but the manifest into a fresh folder.

    Raises StorageError for a disk that refuses, ArtifactError for a model that cannot answer its golden rows.
    """
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(package.candidate.folder, folder / MODEL_FOLDER)
    write_transform(folder, package.transform)
    write_json(folder / SETTINGS_NAME, package.settings)
    if package.importance is not None:
        write_json(folder / IMPORTANCE_NAME, package.importance.to_json())
    reference = _reference(package)
    write_reference(folder, reference)
    model = load_model(folder / MODEL_FOLDER, package.candidate.format)
    predictor = Predictor(package.transform, package.task, model)
    write_golden(predictor, golden_rows(package.split.test, package.transform.inputs), folder)
    write_graded(folder, grade(predictor, package.split, reference, package.slices))
    with storage_errors(folder):
        (folder / PROCESSING_NAME).write_text(as_config(package.transform), encoding="utf-8")
        (folder / CARD_NAME).write_text(render_card(_card(package, _example(folder))), encoding="utf-8")


def draft_of(package: Package) -> ManifestDraft:
    """Return what the manifest says of the version."""
    return ManifestDraft(
        pipeline=package.pipeline,
        data_version=package.data_version,
        run=package.run,
        task=package.task.to_json(),
        family=package.candidate.family,
        format=package.candidate.format,
        params=package.candidate.params,
        metrics=package.leaderboard.to_json(),
        frameworks={**frameworks(), **package.code},
    )


def _reference(package: Package) -> Reference:
    from raypipe.data.profile import Profile

    inputs = package.transform.inputs
    names = [column.name for column in inputs]
    return Reference.of(package.profile or Profile.of_table(package.split.train, names), inputs)


def _card(package: Package, example: Mapping[str, Json]) -> ModelCard:
    board, split = package.leaderboard, package.split
    starts = ("", *split.boundaries) if split.boundaries else ("", "", "")
    parts = (("train", split.train), ("validation", split.validation), ("test", split.test))
    return ModelCard(
        pipeline=package.pipeline,
        run=package.run,
        created_at=f"{package.created_at:%Y-%m-%d %H:%M:%S} UTC",
        label=package.task.label,
        task=package.task.kind,
        classes=tuple(str(value) for value in package.task.classes),
        metric=board.metric,
        data_version=package.data_version,
        parts=tuple(
            CardPart(name, rows.num_rows, start) for (name, rows), start in zip(parts, starts, strict=True)
        ),
        family=package.candidate.family,
        params=package.candidate.params,
        entries=tuple(
            CardEntry(entry.family, entry.test.value, entry.test.low, entry.test.high)
            for entry in board.entries
        ),
        baseline=BASELINE,
        used=_columns(package.transform, used=True),
        left_out=_columns(package.transform, used=False),
        example=example,
        limits=_limits(package),
        worth=_worth(package.importance),
        worth_measured_on="" if package.importance is None else package.importance.measured_on,
        findings=_findings(package.importance),
    )


def _worth(importance: Importance | None) -> tuple[CardWorth, ...]:
    return tuple(
        CardWorth(
            one.column,
            one.value.value,
            one.value.low,
            one.value.high,
            tuple(found.flag for found in one.findings),
        )
        for one in (importance.columns if importance else ())
        if one.value is not None
    )


def _findings(importance: Importance | None) -> tuple[str, ...]:
    columns = importance.columns if importance else ()
    return tuple(f"{found.flag}: {found.why}." for one in columns for found in one.findings)


def _example(folder: Path) -> Mapping[str, Json]:
    row = read_golden(folder).rows[0]
    return row if isinstance(row, Mapping) else {}


def _columns(transform: FittedTransform, *, used: bool) -> tuple[CardColumn, ...]:
    return tuple(
        CardColumn(choice.column, choice.reason) for choice in transform.choices if choice.used is used
    )


def _limits(package: Package) -> tuple[str, ...]:
    """Say what the numbers above do not: what they were measured on, and what they cannot tell."""
    split, best = package.split, package.leaderboard.best
    judged_on = "the newest rows" if split.by == "time" else "rows drawn at random"
    elsewhere = (
        f"Imported from {package.imported_from}: what it was trained on is not known, test rows may be."
    )
    here = "Trained on the training rows only; the validation and test rows were not added afterwards."
    limits = [
        f"Judged once, on {split.test.num_rows:,} rows ({judged_on}): later changes are not in the score.",
        elsewhere if package.imported_from else here,
    ]
    if best.family != BASELINE and not best.beats_baseline:
        limits.append("On these test rows it is not shown to be better than the constant baseline.")
    return tuple(limits)
