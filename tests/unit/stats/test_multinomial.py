"""The evidence of counts against a ball around a reference: valid, tight, indifferent to order and layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.multinomial import Against, divergence, log_evidence, n_divergence, radius

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=8)


def skewed(n_bins: int) -> np.ndarray:
    shares = 0.5 ** np.arange(n_bins)
    return np.asarray(shares / shares.sum())


@pytest.mark.parametrize(("n_bins", "n_rows"), [(2, 50), (12, 300), (12, 20_000), (40, 500)])
def test_the_divergence_of_a_sample_stays_below_its_bound(n_bins: int, n_rows: int) -> None:
    truth = skewed(n_bins)
    drawn = np.random.default_rng(0).multinomial(n_rows, truth, size=4_000)
    far = n_rows * divergence(drawn / n_rows, np.broadcast_to(truth, drawn.shape))
    assert (far >= n_divergence(n_bins, 0.05)).mean() <= 0.05
    if n_bins < 40:  # of 40, most have no row
        assert far.mean() == pytest.approx((n_bins - 1) / 2, rel=0.35), "Wilks: half a chi-squared"


@pytest.mark.parametrize("n_bins", [2, 12])
def test_the_bound_covers_bins_cut_at_the_quantiles_of_the_reference_too(n_bins: int) -> None:
    """There the counts are fixed and the bins' true shares random: a Dirichlet distribution."""
    n_rows = 600
    shares = np.random.default_rng(1).dirichlet(np.full(n_bins, n_rows / n_bins), size=4_000)
    far = n_rows * divergence(np.full_like(shares, 1 / n_bins), shares)
    assert (far >= n_divergence(n_bins, 0.05)).mean() <= 0.05


@given(st.integers(2, 60), st.floats(1e-6, 0.5))
def test_the_bound_solves_its_equation_and_falls_with_delta(n_bins: int, delta: float) -> None:
    x = n_divergence(n_bins, delta)
    assert np.exp(-x + (n_bins - 1) * (1 + np.log(x / (n_bins - 1)))) == pytest.approx(delta, rel=1e-6)
    assert n_divergence(n_bins, delta / 2) > x


def test_a_single_bin_cannot_diverge_and_no_reference_bounds_nothing() -> None:
    assert n_divergence(1, 0.01) == 0
    assert radius(n_bins=4, n_reference=0, delta=0.01) == np.inf
    with pytest.raises(ValueError, match="delta must lie between 0 and 1"):
        n_divergence(4, 0.0)


@given(COUNTS, st.data())
def test_evidence_is_finite_and_falls_with_the_tolerance(reference: list[int], data: st.DataObject) -> None:
    same_length = st.lists(st.integers(0, 500), min_size=len(reference), max_size=len(reference))
    live = data.draw(same_length)
    bounds = [
        radius(n_bins=len(reference), n_reference=sum(reference), delta=0.01, tolerance=t)
        for t in (0.0, 0.02, 0.5)
    ]
    found = [float(log_evidence(live, reference, bound)) for bound in bounds]
    assert np.isfinite(found).all()
    assert found[0] >= found[1] - 1e-6 >= found[2] - 2e-6


def test_evidence_of_rows_just_outside_the_ball_is_as_exact() -> None:
    """A pooling weight close to 1, which Newton's method must not creep up to."""
    reference, live = [57, 500], [57, 300]
    bounds = [radius(n_bins=2, n_reference=557, delta=0.01, tolerance=t) for t in (0.0, 0.02)]
    outside, inside = (float(log_evidence(live, reference, bound)) for bound in bounds)
    assert outside == pytest.approx(inside, abs=1e-6)
    assert outside >= inside


@given(st.lists(st.integers(0, 5_000), min_size=2, max_size=8))
def test_the_alternatives_are_distributions_and_their_weights_add_up(reference: list[int]) -> None:
    """The mixture must be one of distributions, fixed before the first live row: then it is a fair game."""
    tests = Against.of(reference, 0.01)
    assert np.exp(tests.log_alternatives).sum(-1) == pytest.approx(1.0)
    assert np.exp(tests.log_weights).sum() == pytest.approx(0.5)
    assert np.isfinite(tests.log_alternatives).all()


@pytest.mark.parametrize("reference", [[5, 0, 3], [900, 90, 10]])
def test_the_mixture_is_a_distribution_of_sequences(reference: list[int]) -> None:
    """Over all sequences of four rows it adds up to one."""
    from math import factorial, prod

    compositions = [(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)]
    wealth = np.exp(Against.of(reference, 0.0)._log_mixture(np.array(compositions, float)))
    n_each = [factorial(4) / prod(map(factorial, one)) for one in compositions]
    assert wealth @ n_each == pytest.approx(1.0)


def test_many_are_judged_as_one_by_one() -> None:
    random = np.random.default_rng(3)
    live, reference = random.integers(0, 400, (5, 3, 6)), random.integers(0, 900, (3, 6))
    bounds = np.array([0.001, 0.01, 0.1])
    together = log_evidence(live, reference, bounds)
    for i in range(5):
        for j in range(3):
            assert together[i, j] == pytest.approx(float(log_evidence(live[i, j], reference[j], bounds[j])))


def test_without_rows_there_is_no_evidence() -> None:
    assert float(log_evidence([0, 0], [5, 5], 0.1)) == 0
    assert float(log_evidence([5, 5], [0, 0], np.inf)) == 0


def test_the_likelihood_divided_by_is_the_largest_of_the_ball() -> None:
    """Found here by bisection, there in six steps: what they differ by is lost evidence."""
    from raypipe.stats.multinomial import _log_supremum

    random = np.random.default_rng(4)
    for _ in range(30):
        truth = random.dirichlet(np.full(9, 1.5))
        moved = truth * np.exp(random.normal(size=9) * 0.4)
        moved[0] = 0.0
        r = random.multinomial(3_000, truth).astype(float)
        c = random.multinomial(2_000, moved / moved.sum()).astype(float)
        ball = radius(n_bins=9, n_reference=3_000, delta=0.01)
        q, p = r / r.sum(), c / c.sum()
        low, high = 0.0, 1.0
        for _ in range(100):
            middle = (low + high) / 2
            inside = divergence(q, (1 - middle) * q + middle * p) < ball
            low, high = (middle, high) if inside else (low, middle)
        pooled = (1 - low) * q + low * p
        best = float((c[c > 0] * np.log(pooled[c > 0])).sum())
        assert float(_log_supremum(c, r, np.array(ball))) == pytest.approx(best, abs=1e-6)
        mixture = float(Against.of(r, ball)._log_mixture(c))
        assert float(log_evidence(c, r, ball)) == pytest.approx(mixture - best, abs=1e-6)


def false_alarms(n_streams: int, n_windows: int, n_reference: int, tolerance: float, seed: int) -> float:
    """Return the share of streams without drift that ever alarm, looked at after each of many windows."""
    random = np.random.default_rng(seed)
    truth = skewed(10)
    reference = random.multinomial(n_reference, truth, size=n_streams)
    bound = radius(n_bins=10, n_reference=n_reference, delta=0.05, tolerance=tolerance)
    live = random.multinomial(500, truth, size=(n_streams, n_windows)).cumsum(1)
    peak = log_evidence(live, reference[:, None], bound).max(1)
    return float((peak >= np.log(1 / 0.05)).mean())


@pytest.mark.parametrize("n_reference", [200, 5_000])
def test_rows_as_in_the_reference_seldom_alarm_however_often_one_looks(n_reference: int) -> None:
    assert false_alarms(150, 40, n_reference, 0.0, seed=5) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("n_reference", [200, 5_000, 100_000])
def test_the_rate_of_false_alarms_is_bounded(n_reference: int) -> None:
    assert false_alarms(2_000, 400, n_reference, 0.0, seed=6) <= 0.1


def test_a_shift_within_the_tolerance_is_silent_and_a_larger_one_is_not() -> None:
    random = np.random.default_rng(7)
    truth = np.full(10, 0.1)
    reference = random.multinomial(20_000, truth)
    bound = radius(n_bins=10, n_reference=20_000, delta=0.01, tolerance=0.02)
    small, large = (truth * (1 + size * (-1.0) ** np.arange(10)) for size in (0.13, 0.3))
    assert float(((small - truth) * np.log(small / truth)).sum()) < 0.02
    silent, loud = (random.multinomial(200_000, shares) for shares in (small, large))
    assert float(log_evidence(silent, reference, bound)) < 0
    assert float(log_evidence(loud, reference, bound)) > 100


def test_a_category_never_seen_and_one_that_vanished_are_evidence() -> None:
    bound = radius(n_bins=3, n_reference=10_000, delta=0.01)
    assert float(log_evidence([450, 450, 100], [5_000, 5_000, 0], bound)) > 20
    assert float(log_evidence([900, 100, 0], [8_000, 1_000, 1_000], bound)) > 20
