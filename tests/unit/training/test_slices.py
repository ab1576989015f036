from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.schema import Column
from raypipe.training.slices import calibration_error, judge_slices, slices_of
from raypipe.training.task import Task

TASK = Task("classification", "paid", ("no", "yes"), "auc")
COLOUR, SIZE = Column("colour", "category", True), Column("size", "number", True)


def answers(p: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - p, p])


def test_slices_are_values_with_enough_rows() -> None:
    colours = ["red"] * 60 + ["blue"] * 70 + [None] * 50 + ["rare"] * 10
    rows = pa.table({"colour": colours, "size": np.arange(190.0)})
    found = slices_of(rows, [COLOUR, SIZE])
    assert [(column, value, int(chosen.sum())) for column, value, chosen in found] == [
        ("colour", "blue", 70),
        ("colour", "red", 60),
        ("colour", "missing", 50),
    ]


def test_the_worst_slice_is_told_first() -> None:
    y = np.tile([0, 1], 100)
    red = np.arange(200) < 80
    champion = answers(np.full(200, 0.5))
    right = np.where(y == 1, 0.9, 0.1)
    challenger = answers(np.where(red, 1 - right, right))
    found = judge_slices(TASK, y, champion, challenger, [("c", "red", red), ("c", "blue", ~red)])
    assert [(one.value, one.n_rows) for one in found] == [("blue", 120), ("red", 80)][::-1]
    assert found[0].gain == pytest.approx(0.25 - 0.81)
    assert found[0].high < 0 < found[1].low


def test_amounts_have_slices_too() -> None:
    task = Task("regression", "price", (), "mae")
    y, part = np.zeros(120), np.arange(120) < 60
    [found] = judge_slices(task, y, np.ones(120), np.full(120, 3.0), [("c", "x", part)])
    assert found.gain == pytest.approx(0.5 - 0.75)
    assert calibration_error(task, y, y) is None


def test_probabilities_that_come_true_are_calibrated() -> None:
    random = np.random.default_rng(0)
    p = random.random(20_000)
    y = (random.random(20_000) < p).astype(int)
    sure = np.where(p > 0.5, 0.99, 0.01)
    good, bad = (calibration_error(TASK, y, answers(one)) for one in (p, sure))
    assert good is not None
    assert bad is not None
    assert good < 0.02
    assert bad == pytest.approx(0.24, abs=0.02)
