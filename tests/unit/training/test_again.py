"""What stands in the place of a search, and why it may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.core.home import Home
from raypipe.data.config import SplitSettings
from raypipe.data.schema import Column
from raypipe.data.versions import DataVersion
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, register_tiny_version, tiny_transform
from raypipe.training.again import continued, misfit, why_no_start
from raypipe.training.config import TrainingSettings
from raypipe.training.family import family_of
from raypipe.training.own.config import OwnModel
from raypipe.training.recipe import Recipe, recipe_of
from raypipe.training.task import Task

INPUTS = tiny_transform().inputs
DATA = DataVersion("d-1", None, 0, INPUTS, (), 2, (), 0, (), datetime(2026, 1, 1, tzinfo=UTC))
ROWS = pa.table({"outcome": ["good", "bad"]})


def test_a_recipe_is_one_trial_as_a_search_would_have_asked_for_it() -> None:
    recipe = recipe_of("xgboost", {"max_depth": 4, "n_recent": 500, "odd": [1]}, TrainingSettings())
    assert recipe is not None
    trial = recipe.trial(family_of("xgboost"), TINY_TASK)
    assert (trial["family"], trial["xgboost.max_depth"], trial["xgboost.n_recent"]) == ("xgboost", 4, 500)
    assert trial["xgboost.n_trees"] == 180, "what it lacks is the default"
    assert "xgboost.odd" not in trial


def test_a_family_that_is_gone_is_searched_for_among_those_that_are_there(tmp_path: Path) -> None:
    folder = Home(tmp_path).pipeline("tiny")
    registry = Registry(f"sqlite:///{tmp_path / 'r.db'}", FakeClock())
    champion = register_tiny_version(registry, folder)
    settings = TrainingSettings()
    why = continued(folder, DATA, champion, known=None, split=SplitSettings(), max_rows=10, settings=settings)
    assert why == "the champion's family tiny is none of training.models, so the families of the config raced"
    assert recipe_of("tiny", {}, settings) is None


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (OwnModel(function="json:dumps"), "a model of the family mine cannot be trained on"),
        (
            OwnModel(estimator="sklearn.neighbors:KNeighborsClassifier"),
            "sklearn.neighbors:KNeighborsClassifier has neither partial_fit nor warm_start",
        ),
    ],
)
def test_what_cannot_be_trained_on_says_why(model: OwnModel, why: str) -> None:
    found = why_no_start(Recipe("mine", {}), TrainingSettings(models={"mine": model}))
    assert found is not None and found.endswith(why)
    assert why_no_start(Recipe("linear", {}), TrainingSettings(families=("torch",))) is None


def test_rows_that_no_longer_fit_say_why() -> None:
    assert misfit(ROWS, DATA, TINY_TASK, tiny_transform()) is None
    other = replace(DATA, columns=(Column("amount", "category", nullable=True), *INPUTS[1:]))
    assert misfit(ROWS, other, TINY_TASK, tiny_transform()) == (
        "the columns amount are not what the champion's transform was fitted to"
    )
    narrow = Task("classification", "outcome", ("bad", "worse"), "auc")
    assert misfit(ROWS, DATA, narrow, tiny_transform()) == "the champion knows no class good"
