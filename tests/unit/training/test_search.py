from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raypipe.core.errors import ConfigError, LabelError, TrainingError
from raypipe.testing.training import AnsweringTrial, task_of, training_set
from raypipe.training.family import Choice, family_of
from raypipe.training.search import check_learnable, chosen, defaults, first_points, suggest

FAMILIES = ("torch", "linear", "xgboost")


def test_a_family_is_asked_for_first_and_then_only_its_own_parameters() -> None:
    trial = AnsweringTrial({"family": "torch"})
    suggest(trial, FAMILIES, task_of(2))
    names = list(trial.asked)
    assert names[0] == "family"
    assert all(name.startswith("torch.") for name in names[1:])
    assert len(names) == 1 + len(family_of("torch").space(task_of(2)))


def test_what_is_chosen_comes_back_without_its_prefix() -> None:
    assert chosen({"family": "linear", "linear.strength": 2.0, "torch.width": 3}) == (
        "linear",
        {"strength": 2.0},
    )


def test_the_first_points_are_the_defaults_cheap_ones_first() -> None:
    points = first_points(FAMILIES, task_of(0))
    assert [point["family"] for point in points] == ["linear", "xgboost", "torch"]
    for point in points:
        family, params = chosen(point)
        assert params == defaults(family, task_of(0))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_classes", [0, 2, 5])
def test_defaults_lie_inside_their_ranges(family: str, n_classes: int) -> None:
    for parameter in family_of(family).space(task_of(n_classes)):
        if isinstance(parameter, Choice):
            assert parameter.default in parameter.choices
        else:
            assert parameter.low <= parameter.default <= parameter.high


def test_the_loss_is_a_choice_only_where_the_mean_absolute_error_judges() -> None:
    assert "loss" in defaults("xgboost", task_of(0))
    assert "loss" not in defaults("xgboost", replace(task_of(0), metric="rmse"))
    assert "loss" not in defaults("xgboost", task_of(2))


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ConfigError, match="Got 'forest'"):
        family_of("forest")


def test_usable_rows_pass() -> None:
    check_learnable(training_set(2))
    check_learnable(training_set(0))


def test_no_features_cannot_be_learned() -> None:
    data = training_set(2)
    with pytest.raises(TrainingError, match="no features"):
        check_learnable(replace(data, x_train=data.x_train[:, :0]))


def test_one_class_in_the_training_rows_cannot_be_learned() -> None:
    data = training_set(2)
    with pytest.raises(LabelError, match="all 120 training rows"):
        check_learnable(replace(data, y_train=np.zeros_like(data.y_train)))


def test_one_class_in_the_validation_rows_stops_only_a_metric_that_needs_two() -> None:
    data = training_set(2)
    one_class = replace(data, y_validation=np.zeros_like(data.y_validation))
    with pytest.raises(LabelError, match="all 120 validation rows, and auc cannot choose"):
        check_learnable(one_class)
    check_learnable(replace(one_class, task=replace(data.task, metric="log_loss")))
