from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError, LabelError, TrainingError
from raypipe.testing.training import AnsweringTrial, task_of, training_set
from raypipe.training.family import Choice, family_of
from raypipe.training.search import (
    TRIALS_PER_PARAMETER,
    check_learnable,
    chosen,
    defaults,
    first_points,
    next_family,
    suggest,
)

FAMILIES = ("torch", "linear", "xgboost")


def turns(families: Sequence[str], n_trials: int, n_classes: int = 2) -> list[str]:
    had, taken = dict.fromkeys(families, 0), []
    for _ in range(n_trials):
        among = {name: family_of(name) for name in families}
        taken.append(next_family(had, among, task_of(n_classes)))
        had[taken[-1]] += 1
    return taken


def share(families: Sequence[str], n_trials: int, n_classes: int = 2) -> Counter[str]:
    return Counter(turns(families, n_trials, n_classes))


def n_parameters(family: str, n_classes: int = 2) -> int:
    return len(family_of(family).space(task_of(n_classes)))


def test_the_families_take_turns_cheap_ones_first() -> None:
    assert turns(FAMILIES, 6) == ["linear", "xgboost", "torch"] * 2


def test_a_family_of_one_parameter_gets_four_trials_and_the_others_the_rest() -> None:
    assert n_parameters("linear") == 1
    assert share(FAMILIES, 24) == {"linear": 4, "xgboost": 10, "torch": 10}
    assert share(("linear", "torch"), 24) == {"linear": 4, "torch": 20}


def test_a_family_alone_gets_all() -> None:
    assert share(("linear",), 24) == {"linear": 24}


def test_large_budgets_are_shared_in_proportion_to_the_parameters() -> None:
    n_in_all = sum(n_parameters(family) for family in FAMILIES)
    shares = share(FAMILIES, TRIALS_PER_PARAMETER * n_in_all * 5)
    assert shares == {family: TRIALS_PER_PARAMETER * n_parameters(family) * 5 for family in FAMILIES}


@given(st.sets(st.sampled_from(FAMILIES), min_size=1), st.integers(1, 300), st.sampled_from([0, 2, 5]))
def test_no_family_waits_while_it_has_fewer_trials_and_an_allowance(
    families: set[str], n_trials: int, n_classes: int
) -> None:
    shares = share(sorted(families), n_trials, n_classes)
    rounds = {one: shares[one] / (TRIALS_PER_PARAMETER * n_parameters(one, n_classes)) for one in families}
    for one in families:
        for other in families:
            behind = shares[one] < shares[other] - 1
            assert not (behind and rounds[one] < math.floor(rounds[other]))
            assert not (behind and max(rounds.values()) < 1 and rounds[one] < 1)


def test_only_the_familys_own_parameters_are_asked_for() -> None:
    trial = AnsweringTrial()
    assert suggest(trial, family_of("torch"), task_of(2)) == {"family": "torch"}
    assert len(trial.asked) == n_parameters("torch")
    assert all(name.startswith("torch.") for name in trial.asked)


def test_what_is_chosen_comes_back_without_its_prefix() -> None:
    assert chosen({"family": "linear", "linear.strength": 2.0, "torch.width": 3}) == (
        "linear",
        {"strength": 2.0},
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_point_is_the_defaults_under_the_names_that_are_asked_for(family: str) -> None:
    trial, point = AnsweringTrial(), first_points(family_of(family), task_of(0))[0]
    suggest(trial, family_of(family), task_of(0))
    assert set(trial.asked) == set(point)
    assert chosen({"family": family, **point}) == (family, defaults(family_of(family), task_of(0)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_classes", [0, 2, 5])
def test_defaults_lie_inside_their_ranges(family: str, n_classes: int) -> None:
    for parameter in family_of(family).space(task_of(n_classes)):
        if isinstance(parameter, Choice):
            assert parameter.default in parameter.choices
        else:
            assert parameter.low <= parameter.default <= parameter.high


def test_the_loss_is_a_choice_only_where_the_mean_absolute_error_judges() -> None:
    assert "loss" in defaults(family_of("xgboost"), task_of(0))
    assert "loss" not in defaults(family_of("xgboost"), replace(task_of(0), metric="rmse"))
    assert "loss" not in defaults(family_of("xgboost"), task_of(2))


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


def test_windows_are_a_parameter_and_each_is_tried_with_the_defaults() -> None:
    task = task_of(2)
    points = first_points(family_of("xgboost"), task, (100, 5000))
    assert [point["xgboost.n_recent"] for point in points] == [100, 5000]
    plain = {name: value for name, value in points[0].items() if name != "xgboost.n_recent"}
    assert plain == first_points(family_of("xgboost"), task)[0]
    trial = AnsweringTrial()
    suggest(trial, family_of("xgboost"), task, (100, 5000))
    assert "xgboost.n_recent" in trial.asked
