"""Evidence of harm: against the version's own release, with few false alarms, for classes and amounts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.monitoring.harm import MAX_RANKED, Budget, Harm, HarmState, Release, harm, update
from raypipe.stats.bets import Bets

BUDGET = Budget()
RELEASE = Release.of_classes(200, 2_000, BUDGET)
CALLS = (lambda one: one.harmed, lambda one: one.changed)
LOSSES = st.lists(st.floats(0, 1), max_size=20)


def labelled(losses: np.ndarray, release: Release = RELEASE, each: int = 20) -> list[Harm]:
    """Return what is said after each update of `each` labels."""
    state, said = HarmState(), []
    for start in range(0, len(losses), each):
        state = update(state, release.bets(losses[start : start + each]))
        said.append(harm(state, BUDGET))
    return said


def wrong(n: int, ratio: float, seed: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).random(n) < ratio, np.float64)


def test_the_bound_covers_what_the_graded_rows_do_not_know() -> None:
    assert RELEASE.mean == 0.1
    assert 0.11 < RELEASE.bound < 0.13
    assert Release.of_classes(200_000, 2_000_000, BUDGET).bound == pytest.approx(0.11, abs=0.001)
    assert Release.of_classes(5, 5, BUDGET).bound == 0.99
    losses = np.random.default_rng(0).uniform(0, 0.2, 5_000)
    assert 0.1 < Release.of_losses(losses, BUDGET).bound < 0.12


def test_a_version_as_good_as_at_release_is_not_harmed() -> None:
    for seed in range(10):
        said = labelled(wrong(4_000, 0.1, seed), each=100)
        assert not any(one.harmed or one.changed for one in said)
        assert said[-1].n_labels == 4_000
        assert said[-1].mean == pytest.approx(0.1, abs=0.02)


def test_a_jump_after_a_long_healthy_time_is_called_within_some_hundred_labels() -> None:
    release, delays = Release.of_classes(2_000, 20_000, BUDGET), []
    for seed in range(3):
        losses = np.concatenate([wrong(20_000, 0.1, seed), wrong(1_500, 0.2, 100 + seed)])
        said = labelled(losses, release, each=20)
        assert not any(one.harmed or one.changed for one in said[:1_000])
        first = [next(i for i, one in enumerate(said) if is_so(one)) for is_so in CALLS]
        delays.append([(one - 999) * 20 for one in first])
    assert (np.median(delays, axis=0) < [1_500, 700]).all()


def test_errors_that_grow_are_called_for_amounts_whatever_their_scale() -> None:
    random = np.random.default_rng(0)
    release = Release.of_amounts(1e6 * random.normal(size=5_000), BUDGET, seed=0)
    assert len(release.errors) == MAX_RANKED
    same = release.ranks(1e6 * random.normal(size=5_000))
    assert same.mean() == pytest.approx(0.5, abs=0.02)
    assert not labelled(same, release)[-1].harmed
    grown = release.ranks(1.5e6 * random.normal(size=2_000))
    assert labelled(grown, release)[-1].harmed


def test_a_rank_counts_ties_by_half_and_an_absurd_label_once() -> None:
    release = Release.of_amounts(np.array([1.0, -2.0, 2.0, 3.0]), BUDGET, seed=0)
    assert release.errors == (1.0, 2.0, 2.0, 3.0)
    assert release.ranks(np.array([0.0, 2.0, -2.0, 1e300])).tolist() == [0.0, 0.5, 0.5, 1.0]


def test_the_mean_rank_stays_below_its_bound() -> None:
    """Over many releases, with errors that tie: the bound is for the worst case, a spread that is uniform."""
    random = np.random.default_rng(1)
    budget = Budget(alpha=0.25, tolerance=0.0)
    above = 0
    for seed in range(400):
        release = Release.of_amounts(random.integers(0, 6, 60).astype(float), budget, seed=seed)
        above += release.ranks(np.arange(6.0)).mean() > release.bound
    assert above / 400 <= budget.delta


@given(LOSSES, LOSSES)
def test_the_parts_of_an_update_add_up(a: list[float], b: list[float]) -> None:
    together, apart = RELEASE.bets(np.array([*a, *b])), RELEASE.bets(np.array(a)) + RELEASE.bets(np.array(b))
    x, y = (harm(update(HarmState(), one), BUDGET) for one in (together, apart))
    assert x.n_labels == y.n_labels
    if x.n_labels:
        assert x.log_life == pytest.approx(y.log_life, abs=1e-9)


@given(st.lists(LOSSES, max_size=8))
def test_a_restart_changes_nothing(updates: list[list[float]]) -> None:
    state = resumed = HarmState()
    for losses in updates:
        resumed = HarmState.from_json(json.loads(json.dumps(resumed.to_json())))
        state, resumed = (update(one, RELEASE.bets(np.array(losses))) for one in (state, resumed))
    assert state == resumed


def test_without_labels_nothing_is_said() -> None:
    assert harm(HarmState(), BUDGET) == Harm(0, None, -math.inf, -math.inf, False, False)
    assert update(HarmState(), Bets.none(RELEASE.bound)) == HarmState()


def test_a_release_is_read_as_it_was_written() -> None:
    for release in (RELEASE, Release.of_amounts(np.array([1.0, 5.0]), BUDGET, seed=0)):
        assert Release.from_json(json.loads(json.dumps(release.to_json()))) == release
    for wrong_value in ({}, {"mean": 0.1, "bound": 0.2, "errors": ["1"]}):
        with pytest.raises(SchemaError):
            Release.from_json(wrong_value)
    for wrong_value in ({"n_updates": 1}, {"n_updates": 1, "tests": [3]}):
        with pytest.raises(SchemaError):
            HarmState.from_json(wrong_value)
