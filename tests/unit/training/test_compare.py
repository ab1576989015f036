"""Two models on the same rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.ids import canonical_json
from raypipe.training.compare import Answers, Comparison, aligned, compare
from raypipe.training.config import MetricName
from raypipe.training.task import Task

CLASSES = Task("classification", "y", ("bad", "good"), "accuracy")
AMOUNT = Task("regression", "y", (), "mae")
RANDOM = np.random.default_rng(0)
Y = RANDOM.integers(0, 2, 400)
RIGHT = np.stack([1.0 - 0.8 * Y - 0.1, 0.8 * Y + 0.1], axis=1)
COIN = np.full((400, 2), 0.5)


def named(name: str, answers: np.ndarray) -> Answers:
    return Answers(name, answers)


def task(metric: MetricName) -> Task:
    return Task("classification", "y", ("bad", "good"), metric)


@pytest.mark.parametrize("metric", ["accuracy", "auc", "log_loss"])
def test_a_positive_gain_is_for_the_challenger_whatever_the_metric(metric: MetricName) -> None:
    found = compare(task(metric), Y, named("v1", COIN), named("v2", RIGHT), seed=0)
    assert (found.champion, found.challenger, found.n_rows, found.metric) == ("v1", "v2", 400, metric)
    assert found.gain is not None and found.gain_low is not None and found.gain_high is not None
    assert 0 < found.gain_low <= found.gain <= found.gain_high
    back = compare(task(metric), Y, named("v2", RIGHT), named("v1", COIN), seed=0)
    assert back.gain == -found.gain
    assert (back.gain_low, back.gain_high) == pytest.approx((-found.gain_high, -found.gain_low))


def test_the_lower_error_of_a_regression_is_a_gain() -> None:
    y = RANDOM.normal(size=300)
    found = compare(AMOUNT, y, named("v1", y + 2.0), named("v2", y + 0.5), seed=0)
    assert (found.champion_score, found.challenger_score) == pytest.approx((2.0, 0.5))
    assert (found.gain, found.gain_low, found.gain_high) == pytest.approx((1.5, 1.5, 1.5))


def test_equal_answers_gain_exactly_nothing() -> None:
    found = compare(CLASSES, Y, named("v1", RIGHT), named("v2", RIGHT.copy()), seed=3)
    assert (found.gain, found.gain_low, found.gain_high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_answer_that_is_no_number_has_no_score(bad: float) -> None:
    broken = RIGHT.copy()
    broken[7, 1] = bad
    found = compare(CLASSES, Y, named("v1", COIN), named("v2", broken), seed=0)
    assert found.champion_score is not None
    assert (found.challenger_score, found.gain, found.gain_low, found.gain_high) == (None,) * 4
    back = compare(CLASSES, Y, named("v1", broken), named("v2", RIGHT), seed=0)
    assert (back.champion_score, back.gain, back.gain_low) == (None, None, None)
    told = "1 of its 400 answers are no finite numbers"
    assert (found.champion_error, found.challenger_error) == ("", told)
    assert (back.champion_error, back.challenger_error) == (told, "")


@pytest.mark.parametrize("task", [CLASSES, AMOUNT])
def test_a_version_that_cannot_answer_leaves_the_other_its_score(task: Task) -> None:
    silent, right = Answers("v1", None, "v1 is truncated"), RIGHT if task is CLASSES else Y.astype(float)
    found = compare(task, Y if task is CLASSES else Y.astype(float), silent, named("v2", right), seed=0)
    assert (found.champion_score, found.gain, found.gain_low) == (None, None, None)
    assert found.challenger_score is not None
    assert (found.champion_error, found.challenger_error) == ("v1 is truncated", "")


def test_rows_of_one_class_have_no_auc() -> None:
    ones = np.ones(50, dtype=np.int64)
    found = compare(task("auc"), ones, named("v1", COIN[:50]), named("v2", RIGHT[:50]), seed=0)
    assert (found.champion_score, found.challenger_score, found.gain) == (None, None, None)


def test_the_seed_decides_the_interval() -> None:
    noisy = np.where(RANDOM.random((400, 1)) < 0.2, RIGHT[:, ::-1], RIGHT)
    first, again, other = (
        compare(CLASSES, Y, named("v1", COIN), named("v2", noisy), seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.gain == other.gain and first != other


def test_json_and_back() -> None:
    found = compare(CLASSES, Y, named("v1", COIN), named("v2", RIGHT), seed=0)
    assert Comparison.from_json(json.loads(canonical_json(found.to_json()))) == found


@given(
    known=st.lists(st.sampled_from("abcdef"), min_size=2, unique=True).map(sorted),
    asked=st.lists(st.sampled_from("abcdef"), min_size=2, unique=True).map(sorted),
)
def test_each_class_keeps_its_probability(known: list[str], asked: list[str]) -> None:
    answers = np.random.default_rng(1).random((5, len(known)))
    of, to = (Task("classification", "y", tuple(classes), "log_loss") for classes in (known, asked))
    found = aligned(answers, of, to)
    assert found.shape == (5, len(asked))
    for column, name in enumerate(asked):
        expected = answers[:, known.index(name)] if name in known else np.zeros(5)
        assert np.array_equal(found[:, column], expected)


def test_a_champion_that_does_not_know_a_new_class_is_still_scored() -> None:
    """A label that is new sorts first: by position, every answer would count for another class."""
    wider = Task("classification", "y", ("awful", "bad", "good"), "accuracy")
    found = compare(
        wider, Y + 1, named("v1", aligned(RIGHT, CLASSES, wider)), named("v2", np.eye(3)[Y + 1]), seed=0
    )
    assert (found.champion_score, found.challenger_score) == (1.0, 1.0)


def test_amounts_have_no_classes_to_align() -> None:
    answers = np.arange(3.0)
    assert aligned(answers, AMOUNT, AMOUNT) is answers
