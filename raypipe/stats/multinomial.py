"""Evidence that counts come from another distribution than those of a reference sample.

An e-process is a wealth that starts at 1 and, while the null hypothesis holds, is at most 1 on average at any
time one may choose to look. By Ville's inequality it ever reaches 1/a with probability at most a: so it can
be looked at after every window, and its alarm has one false-alarm probability for all time.

Here the wealth is a mixture of likelihoods, divided by the largest likelihood that the null hypothesis
allows (universal inference: Wasserman, Ramdas, Balakrishnan, PNAS 2020; for a known distribution it is the
sequential multinomial test of Lindon and Malek, NeurIPS 2022). The null hypothesis is a ball: all
distributions f with KL(q, f) <= radius, q the reference's shares. With radius x / R, where x solves
exp(-x) * (e * x / (K - 1)) ** (K - 1) = delta, the distribution that the R reference rows were drawn from
lies in the ball with probability at least 1 - delta, for any R and K (Agrawal, IEEE Trans. Inf. Theory
2020). So what the reference does not know never turns into an alarm; with its shares taken for the truth,
every long stream alarms. Where bins are cut at the reference's quantiles, their counts are fixed and their
true shares random; that the same bound covers this was checked by simulation.

A tolerance widens the ball. A distribution whose population stability index to the true one is at most the
tolerance t has about KL t/2, and square roots of KL add like distances where shifts are small: the radius is
(sqrt(x / R) + sqrt(t / 2)) ** 2. Without drift the guarantee holds exactly, with any tolerance; that a shift
*at* the tolerance stays silent is so to second order only, and was checked by simulation.

The largest likelihood in the ball is that of pooled counts, (c + m * r) / (n + m * R) for one multiplier m.
By weak duality every m >= 0 gives an upper bound of it, so that what the search for m leaves undone makes
the evidence smaller, never invalid.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> reference = random.multinomial(20_000, [0.25] * 4)
    >>> bound = radius(n_bins=4, n_reference=20_000, delta=0.01)
    >>> same, moved = (random.multinomial(2_000, p) for p in ([0.25] * 4, [0.3, 0.3, 0.2, 0.2]))
    >>> [bool(log_evidence(live, reference, bound) >= np.log(1 / 0.04)) for live in (same, moved)]
    [False, True]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

CONCENTRATIONS = (30.0, 300.0, 3_000.0)
"""Of the Dirichlet mixtures around the reference: shifts of any form that are large, middling and small."""
_SHIFTS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5)
_SPREADS = (0.05, 0.1, 0.2, 0.4)
_GROWTHS = (0.01, 0.5, 2.0, 8.0)
_SMOOTHING = 0.5
"""Rows added to each bin where the mixtures are centred, so that they reach bins without reference rows."""
_N_STEPS = 6
_NEARLY_ONE = 1.0 - 1e-9


def radius(
    *, n_bins: int, n_reference: float, delta: float, tolerance: float = 0.0, n_choices: float = 1.0
) -> float:
    """Return the KL divergence, in nats, up to which a distribution belongs to the null hypothesis.

    Infinite without reference rows. `tolerance` is a population stability index, 0 for none. Where the bins
    were chosen by the reference's own counts, as its most frequent categories are, `n_choices` is in how many
    ways that could have come out: the bound then holds for all of them at once (Boole's inequality).
    """
    if not n_reference:
        return math.inf
    spread = n_divergence(n_bins, delta / n_choices) / n_reference
    return (math.sqrt(spread) + math.sqrt(tolerance / 2)) ** 2


def n_divergence(n_bins: int, delta: float) -> float:
    """Return x with P(R * KL(shares of R rows, their distribution) >= x) <= delta, whatever R.

    The Chernoff bound of a gamma distribution with shape n_bins - 1 (Agrawal 2020). 0 for a single bin.

    >>> round(n_divergence(12, 0.001), 1)
    28.3
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1. Got {delta}.")
    shape = n_bins - 1
    if shape < 1:
        return 0.0
    low, high = float(shape), 2.0 * shape + 4.0 * math.log(1 / delta)
    for _ in range(60):
        middle = (low + high) / 2
        tail = -middle + shape * (1 + math.log(middle / shape))
        low, high = (middle, high) if tail > math.log(delta) else (low, middle)
    return high


@dataclass(frozen=True)
class Against:
    """Tests against references, all of an array at once.

    A mixture of everything finds anything late, and what happens to features is mostly of few kinds. So a
    quarter of the wealth bets that values shift or spread along the order of the bins, a quarter that a
    single bin grows or empties, and half on changes of any form.
    """

    reference: Floats
    """Counts, shape (..., n_bins). The last bin has no place in the order of the others: missing values."""
    bound: Floats
    """Of `radius`, shape (...)."""
    centre: Floats
    """The shares that the alternatives depart from, shape (..., n_bins)."""
    log_alternatives: Floats
    """Shape (..., n_alternatives, n_bins)."""
    log_weights: Floats

    @classmethod
    def of(cls, reference: npt.ArrayLike, bound: npt.ArrayLike) -> Against:
        """Prepare tests against counts, given the radius of each null hypothesis."""
        r = np.asarray(reference, np.float64)
        smooth = r + _SMOOTHING
        centre = smooth / smooth.sum(-1, keepdims=True)
        logs, weights = _alternatives(centre)
        return cls(r, np.asarray(bound, np.float64), centre, logs, weights)

    def log_evidence(self, live: npt.ArrayLike) -> Floats:
        """Return the log of the e-process after counts of all rows since it started; 0 without rows.

        Counts have the shape of the references, with any number of axes before.
        """
        c = np.asarray(live, np.float64)
        known = (c.sum(-1) > 0) & (self.reference.sum(-1) > 0)
        evidence = self._log_mixture(c) - _log_supremum(c, self.reference, self.bound)
        return np.where(known, evidence, 0.0)

    def _log_mixture(self, c: Floats) -> Floats:
        """Return the log of the mean likelihood of a sequence with counts `c`, over the alternatives."""
        any_form = np.stack([_log_dirichlet(c, a * self.centre) for a in CONCENTRATIONS], -1)
        of_kinds = np.matmul(self.log_alternatives, c[..., None])[..., 0] + self.log_weights
        parts = np.concatenate([any_form - math.log(2 * len(CONCENTRATIONS)), of_kinds], -1)
        highest = parts.max(-1)
        mixture: Floats = highest + np.log(np.exp(parts - highest[..., None]).sum(-1))
        return mixture


def log_evidence(live: npt.ArrayLike, reference: npt.ArrayLike, bound: npt.ArrayLike) -> Floats:
    """Return the log of the e-process after counts `live`, against the ball around counts `reference`."""
    return Against.of(reference, bound).log_evidence(live)


def _alternatives(centre: Floats) -> tuple[Floats, Floats]:
    """Return logs of the shares of each alternative, and logs of their weights, half in all."""
    tilts = _tilts(centre)
    n_bins = centre.shape[-1]
    grown = np.kron(np.eye(n_bins), np.log(_GROWTHS)[:, None])
    grown = np.broadcast_to(grown, (*centre.shape[:-1], *grown.shape))
    logs = np.log(centre)[..., None, :] + np.concatenate([tilts, grown], -2)
    n_tilts, n_grown = tilts.shape[-2], grown.shape[-2]
    weights = np.r_[np.full(n_tilts, 0.25 / n_tilts), np.full(n_grown, 0.25 / n_grown)]
    return logs - np.log(np.exp(logs).sum(-1, keepdims=True)), np.log(weights)


def _tilts(centre: Floats) -> Floats:
    """Return by what logs the bins change when normal scores shift and spread; 0 for the last bin."""
    from scipy.special import ndtri

    ordered = centre[..., :-1]
    before = np.cumsum(ordered, -1)
    scores = ndtri((before - ordered / 2) / np.maximum(before[..., -1:], 1e-300))
    scores = np.concatenate([scores, np.zeros_like(centre[..., :1])], -1)
    shifts = np.concatenate([_SHIFTS, -np.array(_SHIFTS)])
    spreads = np.concatenate([_SPREADS, -np.array(_SPREADS)])
    square = np.where(np.arange(centre.shape[-1]) < centre.shape[-1] - 1, scores**2 - 1, 0.0)
    return np.concatenate(
        [shifts[:, None] * scores[..., None, :], spreads[:, None] * square[..., None, :]], -2
    )


def _log_dirichlet(c: Floats, a: Floats) -> Floats:
    from scipy.special import gammaln

    rows: Floats = (gammaln(a + c) - gammaln(a)).sum(-1)
    total = a.sum(-1)
    whole: Floats = gammaln(total) - gammaln(total + c.sum(-1))
    found: Floats = rows + whole
    return found


def _log_supremum(c: Floats, r: Floats, ball: Floats) -> Floats:
    """Return an upper bound of the log-likelihood of `c` over the ball, close to the largest one."""
    n, n_reference = c.sum(-1), r.sum(-1)
    q, p = _shares(r, n_reference), _shares(c, n)
    w = _pooling(p, q, ball)
    pooled = (1 - w)[..., None] * q + w[..., None] * p
    price = n * (1 / w - 1)
    slack = np.where(price > 0, ball - divergence(q, pooled), 0.0)
    slack = np.where(np.isfinite(slack), slack, 0.0)
    largest: Floats = _x_log_y(c, pooled).sum(-1) + price * slack
    return largest


def _pooling(p: Floats, q: Floats, ball: Floats) -> Floats:
    """Return the weight w of `p` with KL(q, (1 - w) * q + w * p) = ball; 1 where `p` lies in the ball.

    Newton's method from the weight of the quadratic approximation: KL is convex and increases with w, to
    infinity where `p` lacks a bin of `q`; there, a step goes half of the way to 1 at most.
    """
    whole = divergence(q, p)
    far = whole > ball
    is_steep = ~np.isfinite(whole)
    change = np.where(q > 0, (p - q) ** 2 / np.where(q > 0, q, 1.0), 0.0).sum(-1)
    w = np.minimum(_NEARLY_ONE, np.sqrt(2 * np.where(far, ball, 0.0) / np.maximum(change, 1e-300)))
    w = np.maximum(w, 1e-9)
    for _ in range(_N_STEPS):
        pooled = (1 - w)[..., None] * q + w[..., None] * p
        seen = q > 0
        slope = np.where(seen, q * (q - p) / np.where(seen, pooled, 1.0), 0.0).sum(-1)
        step = (divergence(q, pooled) - np.where(far, ball, 0.0)) / np.maximum(slope, 1e-300)
        w = np.clip(w - step, w / 8, np.where(is_steep, (w + 1) / 2, _NEARLY_ONE))
    return np.where(far, np.minimum(w, _NEARLY_ONE), 1.0)


def divergence(q: Floats, f: Floats) -> Floats:
    """Return KL(q, f) in nats over the last axis; infinite where `f` lacks what `q` has."""
    ratio = np.where(q > 0, f / np.where(q > 0, q, 1.0), 1.0)
    with np.errstate(divide="ignore"):
        found: Floats = -(q * np.log(ratio)).sum(-1)
    return np.maximum(found, 0.0)


def _shares(counts: Floats, n: Floats) -> Floats:
    return counts / np.maximum(n, 1.0)[..., None]


def _x_log_y(x: Floats, y: Floats) -> Floats:
    return np.where(x > 0, x * np.log(np.where(y > 0, y, 1.0)), 0.0)
