"""Quantiles from a histogram that merges exactly.

A float64 becomes an int64 key in the same order (its bits, those of negative numbers turned round). The
sketch counts values by `key >> shift`, where `shift` is the smallest for which no more than `bound` buckets
are occupied.

Why no split and no order of merging changes a bit: let D(S, s) be the number of distinct `key >> s` in a
set of keys S. D falls as s grows, and grows as S grows; so the shift of S, the smallest s with D(S, s) <=
bound, depends on S alone, and a part of S never has a larger shift than S. A coarser bucket is a function
of a finer one, so counts of the parts can be brought to the shift of the whole without loss. Hence a merged
sketch is what one pass over all values gives.

Resolution: with shift 0 (no more than `bound` distinct values) quantiles are exact. Otherwise a bucket is
2**(shift-52) of its value wide, relatively: 4096 buckets give about 1% over values of normal distribution,
and far better for values far from 0 (timestamps: 1/4096 of their span or two). Inside a bucket quantiles
are interpolated by rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.buckets import Keys, bucketed, grouped, needed_shift

BOUND = 4096
NEXT_TO_ZERO = 1e-100
"""What shares a bucket with 0 and lies below is taken for 0: columns with many zeros have a median of 0."""
_SIGN_FREE = np.int64(2**63 - 1)
_LARGEST_KEY = 0x7FEF_FFFF_FFFF_FFFF
_SMALLEST_KEY = -_LARGEST_KEY - 1


def order_keys(values: npt.NDArray[np.float64]) -> Keys:
    """Return int64 keys in the order of the values; -0.0 gets the key of 0.0."""
    bits = (values + 0.0).view(np.int64)
    return bits ^ ((bits >> 63) & _SIGN_FREE)


def values_of_keys(keys: Keys) -> npt.NDArray[np.float64]:
    """Return the values that `order_keys` was given."""
    return (keys ^ ((keys >> 63) & _SIGN_FREE)).view(np.float64)


@dataclass(frozen=True)
class QuantileSketch:
    """Counts of finite values in buckets of keys, with the exact smallest and largest value.

    >>> sketch = QuantileSketch.of(np.array([3.0, 1.0, 2.0]))
    >>> sketch.quantile(0.5)
    2.0
    """

    bound: int = BOUND
    shift: int = 0
    buckets: tuple[int, ...] = ()
    """Occupied buckets in increasing order, each `key >> shift`."""
    counts: tuple[int, ...] = ()
    min: float | None = None
    max: float | None = None

    @classmethod
    def of(
        cls, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64] | None = None, bound: int = BOUND
    ) -> QuantileSketch:
        """Count finite values, the i-th one `counts[i]` times (once where not given); `bound` is >= 2."""
        if not len(values):
            return cls(bound)
        keys = order_keys(values)
        low, high = values_of_keys(np.array([keys.min(), keys.max()])).tolist()
        if counts is None:
            shift, buckets, counts = bucketed(keys, bound)
        else:
            order = np.argsort(keys)
            keys, counts = keys[order], counts[order]
            shift = needed_shift(keys, bound)
            buckets, counts = grouped(keys >> shift, counts)
        return cls(bound, shift, tuple(buckets.tolist()), tuple(counts.tolist()), low, high)

    @property
    def n(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """Return the smallest value that at least the share `q` of the values does not exceed.

        Exact where `shift` is 0 (numpy's "inverted_cdf"), else to the width of a bucket; none without values.
        """
        if self.min is None or self.max is None:
            return None
        rank = min(max(math.ceil(q * self.n), 1), self.n)
        before = np.cumsum(self.counts)
        i = int(np.searchsorted(before, rank))
        share = (rank - (int(before[i]) - self.counts[i]) - 0.5) / self.counts[i]
        return min(max(self._inside(self.buckets[i], share), self.min), self.max)

    def ranges(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the smallest and the largest value that each bucket can hold, and how many it holds."""
        buckets, counts = np.array(self.buckets, np.int64), np.array(self.counts, np.int64)
        if self.min is None or self.max is None:
            return np.zeros(0), np.zeros(0), counts
        first = np.maximum(buckets << self.shift, _SMALLEST_KEY)
        last = np.minimum((buckets << self.shift) | ((1 << self.shift) - 1), _LARGEST_KEY)
        return np.maximum(values_of_keys(first), self.min), np.minimum(values_of_keys(last), self.max), counts

    def _inside(self, bucket: int, share: float) -> float:
        first = max(bucket << self.shift, _SMALLEST_KEY)
        last = min(((bucket + 1) << self.shift) - 1, _LARGEST_KEY)
        low, high = values_of_keys(np.array([first, last], np.int64)).tolist()
        if low == 0.0 and high < NEXT_TO_ZERO:
            return 0.0
        return float(low if first == last else low * (1 - share) + high * share)

    def merge(self, other: QuantileSketch) -> QuantileSketch:
        """Return the sketch of both sets of values together; raises SchemaError for another bound."""
        if self.bound != other.bound:
            raise SchemaError(f"Sketches to merge must have one bound. Got {self.bound} and {other.bound}.")
        shift = max(self.shift, other.shift)
        keys = np.concatenate([self._keys_at(shift), other._keys_at(shift)])
        counts = np.array(self.counts + other.counts, np.int64)
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        more = needed_shift(keys, self.bound)
        keys, counts = grouped(keys >> more, counts)
        low = [sketch.min for sketch in (self, other) if sketch.min is not None]
        high = [sketch.max for sketch in (self, other) if sketch.max is not None]
        return QuantileSketch(
            self.bound,
            shift + more,
            tuple(keys.tolist()),
            tuple(counts.tolist()),
            min=min(low, default=None),
            max=max(high, default=None),
        )

    def _keys_at(self, shift: int) -> Keys:
        return np.array(self.buckets, np.int64) >> (shift - self.shift)

    def to_json(self) -> dict[str, Json]:
        """Write each bucket as its distance from the one before, apart by spaces: short, on one line."""
        differences = [b - a for a, b in zip((0, *self.buckets), self.buckets, strict=False)]
        return {
            "bound": self.bound,
            "shift": self.shift,
            "bucket_steps": " ".join(map(str, differences)),
            "counts": " ".join(map(str, self.counts)),
            "min": self.min,
            "max": self.max,
        }

    @classmethod
    def from_json(cls, value: Json) -> QuantileSketch:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {
                "bound": int(bound),
                "shift": int(shift),
                "bucket_steps": str(steps),
                "counts": str(counts),
                "min": float() | int() | None as low,
                "max": float() | int() | None as high,
            }:
                buckets = tuple(accumulate(_integers(steps)))
                return cls(bound, shift, buckets, _integers(counts), _float(low), _float(high))
            case _:
                raise SchemaError(f"A sketch must have bound, shift, buckets and counts. Got {value!r:.200}.")


def aligned(
    one: QuantileSketch, other: QuantileSketch
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the counts of two sketches in the buckets of both together, in order, without loss."""
    together = one.merge(other)

    def counted(sketch: QuantileSketch) -> npt.NDArray[np.int64]:
        found = np.zeros(len(together.buckets), np.int64)
        places = np.searchsorted(np.array(together.buckets, np.int64), sketch._keys_at(together.shift))
        np.add.at(found, places, np.array(sketch.counts, np.int64))
        return found

    return counted(one), counted(other)


def quantile_places(counts: Sequence[int] | npt.NDArray[np.int64], n_bins: int) -> npt.NDArray[np.int64]:
    """Return the buckets at which up to `n_bins` bins of about equally many values end."""
    up_to = np.cumsum(counts)
    wanted = up_to[-1] * np.arange(1, n_bins) / n_bins
    return np.unique(np.append(np.searchsorted(up_to, wanted), len(up_to) - 1))


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split()))
    except ValueError as error:
        raise SchemaError(f"A sketch must list integers. Got {text!r:.200}.") from error


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
