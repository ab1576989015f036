"""A version that answers in no time, for tests of whatever serves versions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.schema import Column, Value
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedCategory, FittedDate, FittedNumber
from raypipe.processing.stored import write_transform
from raypipe.processing.transform import FittedTransform
from raypipe.registry.manifest import ManifestDraft, write_manifest
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.golden import write_golden
from raypipe.serving.pointer import Pointer
from raypipe.serving.predictor import MODEL_FOLDER, Predictor
from raypipe.training.models import Model
from raypipe.training.task import Task

TINY_ROW: dict[str, Value] = {
    "amount": 12.5,
    "size": 3,
    "colour": "red",
    "member": True,
    "seen": datetime(2026, 1, 31, 12, tzinfo=UTC),
}
TINY_TASK = Task("classification", "outcome", ("bad", "good"), "auc")


def tiny_transform() -> FittedTransform:
    """Return a transform with inputs of all kinds; `amount` and `seen` may be missing, `note` is ignored."""
    return FittedTransform(
        (
            FittedNumber(Column("amount", "number", True), 10.0, 0.0, 100.0, 10.0, 0.5, True),
            FittedNumber(Column("size", "integer", False), 2.0, 0.0, 9.0, 2.0, 1.0, False),
            FittedCategory(Column("colour", "category", False), ("blue", "red"), True, False),
            FittedCategory(Column("member", "boolean", False), ("false", "true"), False, False),
            FittedDate(Column("seen", "timestamp", True), ("hour_sin", "hour_cos"), None, True),
        ),
        (FeatureChoice("note", 0, "is in data.drop"),),
    )


def tiny_model(good: float = 0.75) -> Model:
    """Return a model that gives every row the probability `good` of being good."""
    from raypipe.training.families.baseline import ConstantModel

    return ConstantModel((1 - good, good), None)


def tiny_rows(n_rows: int) -> list[dict[str, Value]]:
    """Return rows that differ in what is missing and in size."""
    return [{**TINY_ROW, "amount": i / 7 if i % 5 else None, "size": i % 11} for i in range(n_rows)]


def trained_tiny_model(family: str, task: Task) -> Model:
    """Return a model of a family that was trained on 120 rows by the family's defaults."""
    import numpy as np

    from raypipe.training.family import Terms, family_of
    from raypipe.training.race import TrainingSet

    features = tiny_transform().transform_rows(tiny_rows(120))
    target = np.arange(120) % task.n_classes if task.classes else features[:, 0].astype(np.float64)
    data = TrainingSet(features, target, features, target, task, tiny_transform().feature_names)
    of_family = family_of(family)
    defaults = {parameter.name: parameter.default for parameter in of_family.space(task)}
    *_, (_, model) = of_family.train(defaults, data, Terms(n_rungs=2, seed=0, n_threads=1))
    return model


def write_tiny_version(
    folder: PipelineHome, version: str, epoch: int, *, model: Model | None = None, task: Task = TINY_TASK
) -> Pointer:
    """Write a version's folder with its manifest, and return the pointer that would release it."""
    model = model or tiny_model()
    _write(Predictor(tiny_transform(), task, model), folder.model(version))
    return Pointer(version, seal(folder, version, model.format, task), epoch)


def register_tiny_version(
    registry: Registry, folder: PipelineHome, *, model: Model | None = None, task: Task = TINY_TASK
) -> ModelVersion:
    """Register a version as a run does."""
    model = model or tiny_model()
    staged = folder.root / "staged"
    _write(Predictor(tiny_transform(), task, model), staged)
    return registry.register(folder.name, staged, folder.models, _draft(folder, model.format, task))


def _write(predictor: Predictor, place: Path) -> None:
    write_files(predictor, place)
    write_golden(predictor, [TINY_ROW, {**TINY_ROW, "amount": None, "colour": "green"}], place)


def write_files(predictor: Predictor, place: Path) -> None:
    """Write the transform and the model of a version."""
    (place / MODEL_FOLDER).mkdir(parents=True)
    predictor.model.save(place / MODEL_FOLDER)
    write_transform(place, predictor.transform)


def seal(folder: PipelineHome, version: str, format: str, task: Task = TINY_TASK) -> str:
    """Write the manifest over what lies in a version's folder, and return its digest."""
    draft, created_at = _draft(folder, format, task), datetime(2026, 1, 1, tzinfo=UTC)
    return write_manifest(folder.model(version), draft, version=version, created_at=created_at)


def _draft(folder: PipelineHome, format: str, task: Task) -> ManifestDraft:
    task_json: Json = task.to_json()
    return ManifestDraft(folder.name, "d-0", "run-0", task_json, "tiny", format, {}, {}, {})
