from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.column_settings import NumericStep
from raypipe.processing.fit_number import best_exponent, fit_number
from raypipe.processing.points import Points
from raypipe.processing.report import StepFit
from raypipe.processing.steps import FittedBins, FittedNumber
from raypipe.processing.transform import FittedTransform
from raypipe.stats.histogram import QuantileSketch

COLUMN = Column("x", "number", True)
SKEWED = [0.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 100.0, None, math.inf]


def fit(values: object, **settings: object) -> StepFit:
    profile = ColumnProfile.of(COLUMN, pa.chunked_array([pa.array(values, pa.float64())]))
    return fit_number(profile, COLUMN, NumericStep.model_validate(settings))


def number(values: object, **settings: object) -> FittedNumber:
    step = fit(values, **settings).step
    assert isinstance(step, FittedNumber)
    return step


def features(values: object, *asked: float | None, **settings: object) -> list[list[float]]:
    step = fit(values, **settings).step
    assert step is not None
    made: list[list[float]] = FittedTransform((step,), ()).transform_rows([{"x": x} for x in asked]).tolist()
    return made


def test_what_missing_values_become() -> None:
    assert number(SKEWED).fill == 2.0
    assert number(SKEWED, impute="mode").fill == 2.0
    assert number(SKEWED, impute="mean").fill == 117 / 8
    assert number(SKEWED, impute="constant", value=-1).fill == -1.0


def test_the_mode_of_many_distinct_values_is_where_most_of_them_are() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=9000), np.zeros(500)])
    assert number(values, impute="mode").fill == 0.0


def test_clipping() -> None:
    made = fit(SKEWED, clip=[0.2, 0.8], scale="none", indicator=False)
    assert isinstance(made.step, FittedNumber)
    assert (made.step.low, made.step.high) == (1.0, 5.0)
    assert made.changed == {"infinite": 1, "clipped": 2, "filled": 1}
    asked = [-math.inf, -7.0, 3.0, 100.0, math.inf, None]
    assert features(SKEWED, *asked, clip=[0.2, 0.8], scale="none", indicator=False) == [
        [1.0],
        [1.0],
        [3.0],
        [5.0],
        [5.0],
        [2.0],
    ]


def test_a_constant_beyond_the_clip_stays() -> None:
    step = {"clip": [0.2, 0.8], "impute": "constant", "value": -9, "scale": "none"}
    assert features(SKEWED, None, **step) == [[-9.0, 1.0]]


@pytest.mark.parametrize(
    ("scale", "centre", "spread"),
    [("robust", 2.0, 3.0), ("minmax", 0.0, 100.0), ("none", 0.0, 1.0)],
)
def test_scales(scale: str, centre: float, spread: float) -> None:
    step = number(SKEWED, scale=scale)
    assert (step.centre, step.reciprocal) == (centre, 1 / spread)


def test_a_scale_of_no_width_is_left_out() -> None:
    assert number([1.0, 1.0, 1.0], scale="minmax").reciprocal == 1.0
    # Where the quartiles are one value the deviation stands in.
    spiked = [0.0] * 9 + [10.0]
    assert number(spiked, scale="robust").reciprocal == pytest.approx(1 / 3)


@pytest.mark.parametrize("transform", ["log", "power", "yeo_johnson"])
def test_after_a_transform_training_rows_have_mean_0_and_deviation_1(transform: str) -> None:
    values = np.random.default_rng(1).lognormal(sigma=2, size=20_000)
    made = np.array(features(values, *values.tolist(), transform=transform))
    assert made.mean() == pytest.approx(0, abs=0.01)
    assert made.std() == pytest.approx(1, abs=0.01)


def test_quantiles_follow_a_transform() -> None:
    step = number(SKEWED, transform="log", scale="minmax")
    assert (step.centre, step.reciprocal) == (0.0, pytest.approx(1 / math.log(101)))
    robust = number(SKEWED, transform="power", power=2.0, scale="robust")
    assert (robust.centre, robust.reciprocal) == (pytest.approx(4.0), pytest.approx(1 / 15))


def test_the_exponent_of_yeo_and_johnson_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).gamma(2.0, size=3000)
    _, wanted = stats.yeojohnson(values)
    assert best_exponent(Points.of(QuantileSketch.of(values))) == pytest.approx(wanted, abs=0.01)


def test_where_no_exponent_is_finite_nothing_changes() -> None:
    assert number([1.0, 1.0], transform="yeo_johnson").exponent == 1.0
    assert number([1.7e308, -1.7e308, 0.0], transform="yeo_johnson").exponent <= 1.0


def test_bins_of_about_equally_many_rows() -> None:
    made = fit([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None], bins={"n": 3}).step
    assert isinstance(made, FittedBins)
    assert made.edges == (2.0, 4.0)
    assert made.feature_names == ("x=..2", "x=2..4", "x=4..", "x=<missing>")
    asked = [2.0, 2.1, -math.inf, math.inf, math.nan, None]
    assert FittedTransform((made,), ()).transform_rows([{"x": x} for x in asked]).argmax(axis=1).tolist() == [
        0,
        1,
        0,
        2,
        3,
        3,
    ]


def test_bins_of_one_width_and_their_place() -> None:
    bins = {"n": 4, "by": "width", "encode": "ordinal"}
    assert features(list(range(9)), 0, 2, 3, 8, 99, bins=bins) == [[0.25], [0.25], [0.5], [1.0], [1.0]]


def test_bins_that_coincide_are_one() -> None:
    made = fit([0.0] * 8 + [1.0, 2.0], bins={"n": 5}).step
    assert isinstance(made, FittedBins)
    assert made.edges == (0.0,)
    assert fit([1.0, 1.0], bins={"n": 2}).step is None
