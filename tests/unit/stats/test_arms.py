from __future__ import annotations

import numpy as np
import pytest

from raypipe.core.errors import SchemaError
from raypipe.stats.arms import Arms, losses_to_tell, share_of

N_STREAMS = 150
N_LOOKS, LOOK_ROWS = 16, 250


def ever(
    direction: str, treated_loss: float, *, weight: float, alpha: float, other_loss: float = 0.1
) -> float:
    """Return the part of streams in which evidence was ever seen, looked at again and again."""
    random, n_seen = np.random.default_rng(1), 0
    for _ in range(N_STREAMS):
        found, best = Arms(2.0), -np.inf
        for _ in range(N_LOOKS):
            treated = random.random(LOOK_ROWS) < weight
            losses = random.random(LOOK_ROWS) < np.where(treated, treated_loss, other_loss)
            found += Arms.of(losses, treated, weight, tolerance=2.0)
            best = max(best, getattr(found, direction))
        n_seen += best >= np.log(1 / alpha)
    return n_seen / N_STREAMS


@pytest.mark.parametrize(
    ("direction", "treated_loss"), [("log_worse", 0.1), ("log_worse", 0.05), ("log_fine", 0.2)]
)
def test_what_is_not_so_is_rarely_ever_seen(direction: str, treated_loss: float) -> None:
    # At most 0.2 by Ville's inequality; 0.3 is that and three standard errors of 150 streams.
    assert ever(direction, treated_loss, weight=0.3, alpha=0.2) <= 0.3


@pytest.mark.parametrize(("direction", "treated_loss"), [("log_worse", 0.3), ("log_fine", 0.05)])
def test_what_is_so_is_seen(direction: str, treated_loss: float) -> None:
    assert ever(direction, treated_loss, weight=0.3, alpha=0.05) >= 0.95


def test_so_many_losses_do_tell() -> None:
    weight, alpha, miss = 0.25, 0.05 / 9, 0.1
    n = int(np.ceil(losses_to_tell(weight, 2.0, 1.0, alpha=alpha, miss=miss)))
    random, n_told = np.random.default_rng(2), 0
    for _ in range(200):
        treated = random.random(n) < share_of(weight, 2.0)
        n_told += Arms.of(np.ones(n), treated, weight, tolerance=2.0).log_worse >= np.log(1 / alpha)
    assert n_told >= 200 * (1 - miss)


def test_parts_add_up_under_different_weights() -> None:
    random = np.random.default_rng(3)
    losses, treated = random.random(60), random.random(60) < 0.5
    first = Arms.of(losses[:30], treated[:30], 0.1, tolerance=1.5)
    second = Arms.of(losses[30:], treated[30:], 0.5, tolerance=1.5)
    whole = first + second
    assert (whole.n_treated, whole.n_other) == (int(treated.sum()), int((~treated).sum()))
    assert whole.treated_loss + whole.other_loss == pytest.approx(losses.sum())
    assert whole.worse == pytest.approx(np.add(first.worse, second.worse))


def test_what_cannot_be_bet_on_is_refused() -> None:
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\]\. Got 2\.0 to 2\.0"):
        Arms.of([2.0], np.array([True]), 0.5, tolerance=2.0)
    with pytest.raises(SchemaError, match=r"Got 2\.0 and 3\.0"):
        Arms(2.0) + Arms(3.0)
