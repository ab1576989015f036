"""Tests begun again and again, so that a late change is not drowned by the time when all was well.

A test that counts from the first row needs as long to see a change as the healthy time before it was long.
So tests begin at many windows, with few of them alive: one that begins at window s, a multiple of 2**k and
of no higher power, counts for 2 * 2**k windows and is forgotten then. Of the first t windows about
log2(t) tests are alive, and for every length one that began not much longer ago. The test from window 0
is never forgotten.

A sum of e-processes with weights that add up to 1 at most is an e-process, and one that is forgotten only
makes it smaller: `log_life` ever reaches log(1 / a) with probability at most a. The plain sum, `log_recent`,
is an e-detector (Shiryaev-Roberts; Shin, Ramdas, Rinaldo, New England J. Stat. Data Sci. 2024): faster, but
it promises only that without a change it takes A windows on average until it reaches log(A).

    >>> [start for start in range(1, 13) if is_alive(start, 12)]
    [8, 10, 11, 12]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


class Additive(Protocol):
    """What was counted; the counts of two parts add up to those of both."""

    def __add__(self, other: Self, /) -> Self: ...


Part = TypeVar("Part", bound=Additive)


@dataclass(frozen=True)
class Started(Generic[Part]):
    """What each test alive has counted since its start, the first test first."""

    n_windows: int = 0
    parts: tuple[tuple[int, Part], ...] = ()

    def after(self, window: Part) -> Started[Part]:
        """Return the tests after one more window, which the tests alive count and one more begins with."""
        n = self.n_windows
        grown = tuple((start, part + window) for start, part in self.parts if is_alive(start, n))
        return Started(n + 1, (*grown, (n, window)))

    def after_all(self, n_windows: int, since: Callable[[int], Part]) -> Started[Part]:
        """Return the tests after so many more windows, at least one; those alive then are all that costs.

        `since` gives what the new windows from one on, counted from 0, come to together.
        """
        first, last = self.n_windows, self.n_windows + n_windows - 1
        whole = since(0)
        grown = tuple((start, part + whole) for start, part in self.parts if is_alive(start, last))
        begun = tuple((s, since(s - first)) for s in range(first, last + 1) if is_alive(s, last))
        return Started(last + 1, (*grown, *begun))

    def with_more(self, window: int, part: Part) -> Started[Part]:
        """Return the tests with more of what a window of before counts, in those that counted it."""
        grown = tuple((start, one + part if start <= window else one) for start, one in self.parts)
        return Started(self.n_windows, grown)

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(start for start, _ in self.parts)

    @property
    def whole(self) -> Part | None:
        """What was counted since the first window; None before it."""
        return self.parts[0][1] if self.parts else None


def is_alive(start: int, n_windows: int) -> bool:
    """Say whether the test that began with window `start` counts window `n_windows` too, both from 0 on."""
    return start == 0 or start <= n_windows < start + 2 * (start & -start)


def log_weight(start: int) -> float:
    """Return the log of a test's weight: 1/2 for the first; the others share 1/2, and all add up to 1.

    >>> round(sum(math.exp(log_weight(start)) for start in range(100_000)), 2)
    0.97
    """
    if start == 0:
        return -math.log(2)
    level = (start & -start).bit_length() - 1
    place = (start >> (level + 1)) + 1
    return -math.log(2) - math.log((level + 1) * (level + 2)) - math.log(place * (place + 1))


def log_life(log_e: npt.ArrayLike, starts: Sequence[int]) -> Floats:
    """Return the log of the weighted sum of the tests alive, shape (n_starts, ...) to (...)."""
    weights = np.array([log_weight(start) for start in starts])
    e = np.asarray(log_e, np.float64)
    return log_sum(e + weights.reshape(-1, *[1] * (e.ndim - 1)))


def log_recent(log_e: npt.ArrayLike) -> Floats:
    """Return the log of the plain sum of the tests alive, shape (n_starts, ...) to (...)."""
    return log_sum(np.asarray(log_e, np.float64))


def log_sum(logs: Floats) -> Floats:
    """Return log(sum(exp(logs))) over the first axis; -inf without any."""
    if not len(logs):
        return np.full(logs.shape[1:], -np.inf)
    found: Floats = np.logaddexp.reduce(logs, axis=0)
    return found
