"""What it costs to keep a version: nothing without decay, and what theory says with one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.decay import FRESH, played
from raypipe.monitoring.decay import Decay, decay
from raypipe.stats.course import Course

AT_RELEASE, BOUND = 0.1, 0.12


def course(*parts: tuple[int, float], n_rows: int = 100, labelled: float = 1.0) -> Course:
    """Return a course of windows of which a part has labels, of exactly those mean losses."""
    found = Course()
    for n_windows, loss in parts:
        for _ in range(n_windows):
            n = round(labelled * n_rows)
            found = found.after(n_rows).with_more(found.n_windows, n, n * loss)
    return found


def measured(found: Course, n_waiting: int = 0) -> Decay:
    n_rows = sum(block.n_rows for block in found.blocks)
    shown = decay(found, n_rows + n_waiting, AT_RELEASE, BOUND)
    assert shown is not None
    return shown


def test_few_labels_tell_nothing() -> None:
    assert decay(Course(), 0, AT_RELEASE, BOUND) is None
    assert decay(Course().after(100).with_more(0, 49, 3.0), 100, AT_RELEASE, BOUND) is None


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1, 1.0])
def test_a_loss_that_does_not_rise_is_worth_nothing(loss: float) -> None:
    assert measured(course((200, loss))).marginal == 0.0


def test_after_a_change_the_answers_before_tell_what_they_would_have_lost_more() -> None:
    shown = measured(course((160, 0.1), (16, 0.3)))
    assert (shown.n_rows, shown.n_since) == (17_600, 1_600)
    assert shown.marginal == pytest.approx(16_000 * 0.2, rel=0.1)
    assert shown.marginal < 16_000 * 0.2, "by one standard error less"
    assert shown.at_stake == shown.marginal
    assert shown.excess == pytest.approx(1_600 * 0.2)


def test_a_constant_level_other_than_at_release_cancels_out() -> None:
    shown = measured(course((160, 0.11), (16, 0.31)))
    assert shown.marginal == pytest.approx(measured(course((160, 0.1), (16, 0.3))).marginal, rel=0.05)
    assert shown.regret > 0


def test_of_a_change_that_came_early_what_is_lost_counts() -> None:
    shown = measured(course((4, 0.1), (100, 0.3)))
    assert shown.marginal < 400 * 0.2
    assert shown.at_stake == shown.regret == pytest.approx(10_000 * (0.3 - BOUND), rel=0.05)


def test_answers_that_wait_for_labels_lose_as_those_since() -> None:
    steady = course((4, 0.1), (100, 0.3))
    ratio = measured(steady, n_waiting=10_000).regret / measured(steady).regret
    assert ratio == pytest.approx(2.0)
    late = course((160, 0.1), (16, 0.3))
    assert measured(late, n_waiting=10_000).marginal == pytest.approx(measured(late).marginal)


def test_amounts_are_of_answers_however_few_of_them_have_labels() -> None:
    every, some = (measured(course((160, 0.1), (40, 0.3), labelled=share)) for share in (1.0, 0.3))
    assert some.marginal == pytest.approx(every.marginal, rel=0.1)


def test_a_linear_decay_comes_to_what_theory_says() -> None:
    slope = 2e-5
    random = np.random.default_rng(0)
    found = Course()
    for window in range(100):
        loss = random.binomial(100, AT_RELEASE + slope * (100 * window + 50))
        found = found.after(100).with_more(window, 100, float(loss))
    shown = measured(found)
    assert shown.marginal == pytest.approx(slope * 10_000**2 / 2, rel=0.25)


def test_noise_that_neighbouring_windows_share_is_no_rise() -> None:
    """Days differ by more than independent rows would, at the same level all along."""
    days = [(1, 0.02), (1, 0.3)] * 100
    noisy = course(*days, (4, 0.3))
    assert measured(noisy).marginal == 0.0
    assert measured(course((200, 0.16), (4, 0.4))).marginal > 0


def test_a_stream_without_drift_stays_silent() -> None:
    random = np.random.default_rng(1)
    asked = 0
    for _ in range(20):
        found = Course()
        for window in range(150):
            found = found.after(100).with_more(window, 100, float(random.binomial(100, AT_RELEASE)))
            asked += window % 10 == 9 and measured(found).at_stake > 0
    assert asked == 0


def test_its_benchmark_asks_after_a_change_and_not_without_one() -> None:
    def changed(row: int, fitted: int) -> float:
        return FRESH if (row < 4_000) == (fitted < 4_000) else 0.5

    assert played(lambda *_: FRESH, 6_000, 0).n_fits == 0
    mine, never = played(changed, 8_000, 0), played(changed, 8_000, 0, every=8_000)
    assert (mine.n_fits, never.n_fits) == (1, 0)
    assert mine.cost < never.cost / 3
