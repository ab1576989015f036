"""Counting integers in the finest buckets of which no more than a bound are occupied, without sorting them.

All keys are counted by their leading bits at once; only where too few buckets are occupied the next bits are
looked at, within the occupied buckets. A pass costs a few nanoseconds a key, and mostly two are enough.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]

_MIN_BITS, _MAX_BITS = 8, 18
"""Between 2**8 and 2**18 counters: by the number of keys, and so that they stay in the processor's cache."""
_LEAST_STEP = 4
_PROBE = 4096


def bucketed(keys: Keys, bound: int) -> tuple[int, Keys, Counts]:
    """Return a shift, the distinct `key >> shift` in increasing order, and how many keys each stands for.

    The shift is the smallest with no more than `bound` distinct ones; there must be a key.
    """
    bits = min(max(len(keys).bit_length(), _MIN_BITS), _MAX_BITS)
    shift, first = _coarse(int(keys.min()), int(keys.max()), bits)
    places = (keys >> shift) - first
    counts = np.bincount(places)
    occupied = np.flatnonzero(counts)
    buckets = occupied + first
    while shift and len(buckets) <= bound:
        if (alone := _single_keys(keys, places, len(counts))) is not None:
            return 0, alone[occupied], counts[occupied]
        step = min(shift, max(bits - len(buckets).bit_length(), _LEAST_STEP))
        shift -= step
        ranks = np.empty(len(counts), np.int64)
        ranks[occupied] = np.arange(len(occupied))
        places = (ranks[places] << step) | ((keys >> shift) & ((1 << step) - 1))
        counts = np.bincount(places)
        occupied = np.flatnonzero(counts)
        buckets = (buckets[occupied >> step] << step) | (occupied & ((1 << step) - 1))
    more = needed_shift(buckets, bound)
    return shift + more, *grouped(buckets >> more, counts[occupied])


def needed_shift(sorted_keys: Keys, bound: int) -> int:
    """Return the smallest s for which `sorted_keys >> s` has at most `bound` distinct values.

    Neighbours differ after a shift by s when their exclusive or is longer than s bits; at most bound - 1 may.
    """
    if len(sorted_keys) <= bound:
        return 0
    differing = (sorted_keys[1:] ^ sorted_keys[:-1]).view(np.uint64)
    place = len(differing) - bound
    return int(np.partition(differing, place)[place]).bit_length()


def grouped(sorted_buckets: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Return each distinct bucket once, with its counts added up."""
    if not len(sorted_buckets):
        return sorted_buckets, counts
    starts = np.flatnonzero(np.concatenate(([True], sorted_buckets[1:] != sorted_buckets[:-1])))
    return sorted_buckets[starts], np.add.reduceat(counts, starts)


def _coarse(low: int, high: int, bits: int) -> tuple[int, int]:
    """Return a shift by which the keys fill at most 2**bits buckets, and the first bucket."""
    shift = max(0, (high - low).bit_length() - bits)
    if (high >> shift) - (low >> shift) >= 1 << bits:
        shift += 1
    return shift, low >> shift


def _single_keys(keys: Keys, places: Keys, n_places: int) -> Keys | None:
    """Return the key of each place, where no place has two different ones."""
    found = np.empty(n_places, np.int64)
    for part in (slice(_PROBE), slice(None)):
        found[places[part]] = keys[part]
        if (found[places[part]] != keys[part]).any():
            return None
    return found
