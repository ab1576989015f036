"""What stands out in a column is said, and what does not is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.explore.remarks import MEANING, TOPICS, remarks_on
from raypipe.data.profile import Profile

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=1000).tolist()


def topics(values: object, *, is_label: bool = False) -> list[str]:
    (profile,) = Profile.of_table(pa.table({"x": values})).columns
    return [one.topic for one in remarks_on(profile, is_label=is_label)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([None] * 5, pa.float64()), ["empty"]),
        (["a"] * 5, ["constant"]),
        (pa.array([1.5, None, 1.5]), ["constant", "missing"]),
        ([*([None] * 250), *NORMAL], ["missing"]),
        ([f"id {n}" for n in range(50)], ["unique"]),
        (list(range(50)), ["unique"]),
        ([f"id {n}" for n in range(10)], []),
        ([0] * 98 + [1, 2], ["one value"]),
        (RANDOM.lognormal(sigma=1.5, size=1000).tolist(), ["skewed"]),
        ((-RANDOM.lognormal(sigma=1.5, size=1000)).tolist(), ["skewed"]),
        ([*NORMAL, 1e6], ["far"]),
        ([*NORMAL, float("inf")], ["infinite"]),
        (["a", "b", "N/A", "-", "b"], ["missing?"]),
        (["New York", "new  york ", "Rome", "Rome"], ["spelling"]),
        (NORMAL, []),
        (["a", "b"] * 50, []),
        ([True, False] * 50, []),
    ],
)
def test_what_stands_out(values: object, expected: list[str]) -> None:
    assert topics(values) == expected


def test_a_rare_class_of_the_label_is_told() -> None:
    values = [*(["good"] * 500), *(["bad"] * 400), "odd"]
    assert topics(values) == []
    assert topics(values, is_label=True) == ["rare"]


def test_a_remark_names_the_value() -> None:
    (profile,) = Profile.of_table(pa.table({"x": ["N/A", "N/A", "b", "c"]})).columns
    (remark,) = remarks_on(profile)
    assert remark.text == "rows that say “N/A” (2)"


def test_every_topic_has_a_meaning() -> None:
    assert set(MEANING) == set(TOPICS)
