"""Training that goes on from a model: it learns what is new, and forgets less than a model of that alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from raypipe.training.config import TrainingSettings
from raypipe.training.family import Continuing, Family, Terms, family_of
from raypipe.training.models import Model, load_model
from raypipe.training.own.config import OwnModel
from raypipe.training.own.families import own_families
from raypipe.training.race import TrainingSet
from raypipe.training.search import defaults
from raypipe.training.task import Task
from raypipe.training.trial import RungReport, run_trial

Kind = Literal["classification", "regression"]
TASKS: dict[Kind, Task] = {
    "classification": Task("classification", "y", (False, True), "log_loss"),
    "regression": Task("regression", "y", (), "mae"),
}


def rows(kind: Kind, n_rows: int, seed: int, *, moved: bool = False) -> TrainingSet:
    """Return rows whose target depends on two features; where the concept moved, on a third as well."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_rows, 4)).astype(np.float32)
    raw = 2.0 * x[:, 0] - x[:, 1] + (2.0 * x[:, 2] if moved else 0.0)
    y = (raw > 0).astype(np.int64) if kind == "classification" else raw.astype(np.float64)
    return TrainingSet(x, y, x, y, TASKS[kind], ("a", "b", "c", "d"))


def loss(model: Model, data: TrainingSet) -> float:
    """Return the share of wrong classes, or the mean absolute error."""
    answers = model.predict(data.x_validation)
    if data.task.kind == "classification":
        return float((answers.argmax(axis=1) != data.y_validation).mean())
    return float(np.abs(answers - data.y_validation).mean())


def last(family: Family, data: TrainingSet, place: Path, start: Model | None = None) -> Model:
    """Train in one rung, save, and load what was saved."""
    made: list[RungReport] = []
    params = defaults(family, data.task)
    run_trial(family, params, data, Terms(1, 0, 1), timer=lambda: 0.0, report=made.append, start=start)
    model = made[-1].model
    assert model is not None
    place.mkdir()
    model.save(place)
    return load_model(place, model.format)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("name", ["linear", "xgboost", "torch"])
def test_it_learns_the_new_and_keeps_the_old(name: str, kind: Kind, tmp_path: Path) -> None:
    family = family_of(name)
    assert isinstance(family, Continuing) and family.cannot_continue() is None
    old, new = rows(kind, 1_500, 1), rows(kind, 300, 2, moved=True)
    before = last(family, old, tmp_path / "before")
    after = last(family, new, tmp_path / "after", before)
    fresh_old, fresh_new = rows(kind, 2_000, 3), rows(kind, 2_000, 4, moved=True)
    before = load_model(tmp_path / "before", before.format)
    assert loss(after, fresh_new) < 0.9 * loss(before, fresh_new)
    few = rows(kind, 40, 5)
    alone = last(family, few, tmp_path / "alone")
    kept = last(family, few, tmp_path / "kept", before)
    assert loss(kept, fresh_old) < loss(alone, fresh_old)


def test_a_linear_model_goes_on_although_a_class_is_missing_or_new(tmp_path: Path) -> None:
    task = Task("classification", "y", ("a", "b", "c", "d"), "log_loss")
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3)).astype(np.float32)
    known = TrainingSet(
        x, x[:, :3].argmax(axis=1).astype(np.int64), x, np.zeros(400, np.int64), task, ("p",) * 3
    )
    family = family_of("linear")
    before = last(family, known, tmp_path / "before")
    only = np.flatnonzero(known.y_train != 1)
    y = np.where(np.arange(len(only)) < 5, 3, known.y_train[only])
    fewer = TrainingSet(x[only], y, x[only], y, task, ("p",) * 3)
    after = last(family, fewer, tmp_path / "after", before)
    answers = after.predict(x)
    assert answers.shape == (400, 4) and (answers[:, 3] == 0).all() and (answers[:, 1] > 0).all()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("sklearn.linear_model:SGDClassifier", None),
        ("sklearn.ensemble:RandomForestClassifier", None),
        ("sklearn.neighbors:KNeighborsClassifier", "has neither partial_fit nor warm_start"),
    ],
)
def test_an_estimator_of_ones_own_goes_on_where_it_can(path: str, why: str | None, tmp_path: Path) -> None:
    params = {"loss": "log_loss"} if "SGD" in path else {}
    settings = TrainingSettings(models={"mine": OwnModel(estimator=path, params=params)})
    family = own_families(settings)["mine"]
    assert isinstance(family, Continuing)
    found = family.cannot_continue()
    assert (found is None) if why is None else (found is not None and found.endswith(why))
    if why is None:
        old, new = rows("classification", 800, 1), rows("classification", 300, 2, moved=True)
        before = last(family, old, tmp_path / "before")
        was = loss(before, rows("classification", 1_000, 3, moved=True))
        after = last(family, new, tmp_path / "after", before)
        assert loss(after, rows("classification", 1_000, 3, moved=True)) < was
