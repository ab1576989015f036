"""Many tests together: e-BH, and the budget over versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.many import rejected, spent

LOGS = st.lists(st.floats(-50, 50), min_size=1, max_size=20)


def by_hand(log_e: list[float], log_bound: float) -> list[bool]:
    down = sorted(log_e, reverse=True)
    ks = [k for k in range(1, len(down) + 1) if down[k - 1] + np.log(k) >= log_bound + np.log(len(down))]
    return [bool(ks) and one >= down[max(ks) - 1] for one in log_e]


@given(LOGS, st.floats(0, 10))
def test_the_largest_are_rejected_that_are_large_enough_together(log_e: list[float], bound: float) -> None:
    assert rejected(log_e, bound).tolist() == by_hand(log_e, bound)


@given(LOGS, st.floats(0, 10), st.data())
def test_more_evidence_never_takes_a_rejection_back(
    log_e: list[float], bound: float, data: st.DataObject
) -> None:
    more = [one + data.draw(st.floats(0, 20)) for one in log_e]
    assert (rejected(more, bound) >= rejected(log_e, bound)).all()


@given(LOGS, st.floats(0, 10))
def test_a_rejection_needs_a_mean_of_the_bound(log_e: list[float], bound: float) -> None:
    if rejected(log_e, bound).any():
        assert np.logaddexp.reduce(log_e) - np.log(len(log_e)) >= bound - 1e-9


def test_streams_are_judged_apart_and_no_test_is_no_rejection() -> None:
    assert rejected([[9.0, 0.0], [0.0, 0.0]], 3.0).tolist() == [[True, False], [False, False]]
    assert rejected(np.zeros((2, 0)), 3.0).shape == (2, 0)


def test_all_versions_together_spend_no_more_than_alpha() -> None:
    assert sum(spent(0.05, n) for n in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert sum(spent(0.05, n) for n in range(1, 10_000)) < 0.05
    with pytest.raises(ValueError, match="counted from 1 on"):
        spent(0.05, 0)


def test_of_true_and_false_ones_few_are_false() -> None:
    """Likelihood ratios of normal draws: 40 of no shift, 10 of one."""
    random = np.random.default_rng(0)
    n_false, ratios = 0, []
    for _ in range(300):
        sums = random.normal(np.r_[np.zeros(40), np.full(10, 2.0)] * 9, 3.0)
        found = rejected(2.0 * sums - 18.0, np.log(1 / 0.1))
        ratios.append(found[:40].sum() / max(1, found.sum()))
        n_false += int(found[40:].all())
    assert np.mean(ratios) <= 0.1
    assert n_false > 150
