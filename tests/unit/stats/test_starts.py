"""Tests begun again and again: which are alive, what they weigh, what they count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.starts import Started, is_alive, log_life, log_recent, log_weight


@given(st.integers(0, 20_000))
def test_few_are_alive_and_the_first_and_the_newest_are(n: int) -> None:
    alive = [start for start in range(n + 1) if is_alive(start, n)]
    assert {0, n} <= set(alive)
    assert len(alive) <= 2 + (n + 1).bit_length()


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_test_began_within_the_newest_half_of_any_length(n: int, length: int) -> None:
    length = min(length, n)
    assert any(is_alive(start, n) for start in range(n - length, n - length // 4 + 1))


def test_weights_add_up_to_no_more_than_one() -> None:
    total = sum(math.exp(log_weight(start)) for start in range(1 << 15))
    assert 0.9 < total < 1


@given(st.lists(st.integers(0, 9), max_size=70))
def test_each_test_counts_the_windows_since_its_start(windows: list[int]) -> None:
    tests = Started[int]()
    for window in windows:
        tests = tests.after(window)
    n = len(windows)
    assert tests.n_windows == n
    assert dict(tests.parts) == {start: sum(windows[start:]) for start in range(n) if is_alive(start, n - 1)}
    assert tests.whole == (sum(windows) if windows else None)


def test_the_sums_are_of_the_tests_alive() -> None:
    logs = np.array([[1.0, -2.0], [0.5, 3.0]])
    life, recent = log_life(logs, (0, 1)), log_recent(logs)
    weights = [math.exp(log_weight(0)), math.exp(log_weight(1))]
    assert life.tolist() == pytest.approx(np.log(weights @ np.exp(logs)).tolist())
    assert recent.tolist() == pytest.approx(np.log(np.exp(logs).sum(0)).tolist())
    assert log_recent(np.zeros((0, 2))).tolist() == [-np.inf, -np.inf]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=40), max_size=5))
def test_many_windows_at_once_are_those_one_by_one(batches: list[list[int]]) -> None:
    one_by_one = at_once = Started[int]()
    for batch in batches:
        for window in batch:
            one_by_one = one_by_one.after(window)
        at_once = at_once.after_all(len(batch), lambda start, of=batch: sum(of[start:]))  # type: ignore[misc]
    assert at_once == one_by_one


def test_more_of_a_window_counts_in_the_tests_that_counted_it() -> None:
    started = Started[int]()
    for window in (1, 2, 3, 4):
        started = started.after(window)
    assert started.with_more(2, 100).parts == tuple(
        (start, part + (100 if start <= 2 else 0)) for start, part in started.parts
    )
