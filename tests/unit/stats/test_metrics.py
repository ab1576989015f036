from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.stats.metrics import METRICS

seeds = st.integers(0, 2**32 - 1)


def rows(seed: int, n: int = 60, *, n_classes: int = 2, levels: int = 7):
    """Return targets with every class, probabilities with many ties, and weights with zeros."""
    random = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), random.integers(n_classes, size=n - n_classes)])
    raw = random.integers(1, levels, size=(n, n_classes)).astype(float)
    weights = random.integers(0, 4, size=n).astype(float)
    weights[:n_classes] = 1.0
    return y, raw / raw.sum(axis=1, keepdims=True), weights


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_binary_auc_equals_scikit_learns_with_ties_and_weights(seed: int) -> None:
    y, probabilities, weights = rows(seed)
    expected = reference.roc_auc_score(y, probabilities[:, 1], sample_weight=weights)
    assert METRICS["auc"](y, probabilities, weights) == pytest.approx(expected, abs=1e-12)


@given(seeds, st.integers(3, 6))
@settings(max_examples=40, deadline=None)
def test_auc_of_more_classes_is_the_macro_mean_of_one_against_rest(seed: int, n_classes: int) -> None:
    y, probabilities, _ = rows(seed, n_classes=n_classes)
    expected = reference.roc_auc_score(y, probabilities, multi_class="ovr", average="macro")
    assert METRICS["auc"](y, probabilities) == pytest.approx(expected, abs=1e-12)


@given(seeds, st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_accuracy_and_log_loss_equal_scikit_learns(seed: int, n_classes: int) -> None:
    y, probabilities, weights = rows(seed, n_classes=n_classes)
    labels = np.arange(n_classes)
    accuracy = reference.accuracy_score(y, np.argmax(probabilities, axis=1), sample_weight=weights)
    log_loss = reference.log_loss(y, probabilities, sample_weight=weights, labels=labels)
    assert METRICS["accuracy"](y, probabilities, weights) == pytest.approx(accuracy, abs=1e-12)
    assert METRICS["log_loss"](y, probabilities, weights) == pytest.approx(log_loss, abs=1e-12)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_regression_metrics_equal_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    y, prediction = random.normal(100, 5, size=40), random.normal(100, 5, size=40)
    weights = random.integers(1, 4, size=40).astype(float)
    for name, function in {
        "mae": reference.mean_absolute_error,
        "rmse": reference.root_mean_squared_error,
        "r2": reference.r2_score,
    }.items():
        expected = function(y, prediction, sample_weight=weights)
        assert METRICS[name](y, prediction, weights) == pytest.approx(expected, rel=1e-9)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_a_whole_weight_counts_as_so_many_rows(seed: int) -> None:
    y, probabilities, weights = rows(seed, n_classes=3)
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    for name in ("auc", "accuracy", "log_loss"):
        by_weight = METRICS[name](y, probabilities, weights)
        assert by_weight == pytest.approx(METRICS[name](y[repeated], probabilities[repeated]), abs=1e-12)


def test_a_constant_prediction_has_auc_one_half() -> None:
    assert METRICS["auc"](np.array([0, 1, 1]), np.full((3, 2), 0.5)) == 0.5


def test_one_class_only_has_no_auc_but_the_other_scores() -> None:
    y, probabilities = np.array([1, 1]), np.array([[0.2, 0.8], [0.4, 0.6]])
    assert math.isnan(METRICS["auc"](y, probabilities))
    assert METRICS["accuracy"](y, probabilities) == 1.0
    assert METRICS["log_loss"](y, probabilities) == pytest.approx(-np.log([0.8, 0.6]).mean())


def test_auc_leaves_out_a_class_without_rows() -> None:
    y = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    assert METRICS["auc"](y, probabilities) == 1.0


def test_log_loss_of_a_class_given_no_chance_is_finite() -> None:
    assert METRICS["log_loss"](np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(36.04, abs=0.01)


def test_r2_of_constant_targets_is_undefined() -> None:
    assert math.isnan(METRICS["r2"](np.array([2.0, 2.0]), np.array([1.0, 3.0])))


@pytest.mark.parametrize("name", ["auc", "accuracy", "log_loss"])
def test_no_rows_have_no_score(name: str) -> None:
    assert math.isnan(METRICS[name](np.empty(0, dtype=np.int64), np.empty((0, 2))))


def test_gain_is_positive_where_better_whatever_the_direction() -> None:
    assert METRICS["auc"].gain(0.9, 0.8) == pytest.approx(0.1)
    assert METRICS["mae"].gain(8.0, 9.0) == 1.0
    assert METRICS["mae"].gain(9.0, 8.0) == -1.0
