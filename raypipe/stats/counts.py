"""How often each value occurs, exact up to a bound of distinct values, a fair sample of them beyond it.

Beyond the bound, values are kept by their hash: at level L those whose 64-bit hash starts with L zero bits,
where L is the smallest level that leaves no more than `bound` values. The level depends on the set of
values alone and a part never has a higher one than the whole, so no split and no order of merging changes
the result. What is kept has its exact count; the number of distinct values is estimated without bias as
kept * 2**L, with a relative standard error of about 1/sqrt(bound) (distinct sampling; Gibbons, "Distinct
sampling for highly-accurate answers to distinct values queries", VLDB 2001). A frequent value may be among
those left out: `is_exact` says whether that can be.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.buckets import bucketed

BOUND = 50_000
_SPARE = 2
"""How many times the bound of values are looked at, so that enough distinct ones are among them."""
_FEW = 16_384
"""Up to so many distinct values are counted without sorting."""
_BLOCK = 32_768
Counted: TypeAlias = str | int | float
"""A value that is counted; those of one column are all of one type."""
Numbers: TypeAlias = npt.NDArray[np.int64 | np.uint64 | np.float64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ValueCounts:
    """Counts by value, of text, of integers, or of finite numbers.

    >>> ValueCounts.of_texts(["b", "a"], [2, 1]).top(1)
    (('b', 2),)
    """

    bound: int = BOUND
    level: int = 0
    counts: Mapping[Counted, int] = field(default_factory=dict)

    @classmethod
    def of_texts(cls, values: Sequence[str], counts: Sequence[int], bound: int = BOUND) -> ValueCounts:
        """Count distinct texts, the i-th one `counts[i]` times."""
        if len(values) <= bound:
            return cls(bound, 0, dict(zip(values, counts, strict=True)))
        hashes = _text_hashes(values)
        level = _needed_level(hashes, bound)
        kept = np.flatnonzero(_survives(hashes, level)).tolist()
        return cls(bound, level, {values[i]: counts[i] for i in kept})

    @classmethod
    def of_numbers(cls, values: Numbers, counts: npt.NDArray[np.int64], bound: int = BOUND) -> ValueCounts:
        """Count distinct integers or distinct finite floats, the i-th one `counts[i]` times."""
        hashes = _mixed((values + 0).view(np.uint64))
        level = _needed_level(hashes, bound)
        if level:
            kept = _survives(hashes, level)
            values, counts = values[kept], counts[kept]
        return cls(bound, level, dict(zip((values + 0).tolist(), counts.tolist(), strict=True)))

    @classmethod
    def of_repeated(cls, values: Numbers, bound: int = BOUND) -> ValueCounts:
        """Count integers or finite floats, each as often as it is there."""
        level = (len(values) // (_SPARE * bound)).bit_length()
        while level:
            distinct, counts = np.unique(_surviving(values, level), return_counts=True)
            if len(distinct) > bound:
                return cls.of_numbers(distinct, counts, bound)
            level = max(0, level - (2 * bound // (len(distinct) + 1)).bit_length())
        return cls.of_numbers(*_distinct(values), bound)

    @property
    def is_exact(self) -> bool:
        """Whether every value was kept."""
        return self.level == 0

    @property
    def n_distinct(self) -> int:
        """The number of distinct values: counted where `is_exact`, estimated otherwise."""
        return len(self.counts) << self.level

    def top(self, n: int) -> tuple[tuple[Counted, int], ...]:
        """Return the `n` most frequent kept values with their counts; ties go by value, smallest first."""
        pairs = sorted(self.sorted_items(), key=lambda pair: -pair[1])
        return tuple(pairs[:n])

    def sorted_items(self) -> list[tuple[Counted, int]]:
        """Return the kept values in increasing order, each with its count."""
        return sorted(self.counts.items())

    def merge(self, other: ValueCounts) -> ValueCounts:
        """Return the counts of both together; raises SchemaError for another bound."""
        if self.bound != other.bound:
            raise SchemaError(f"Counts to merge must have one bound. Got {self.bound} and {other.bound}.")
        level = max(self.level, other.level)
        together = dict(self._at(level))
        for value, count in other._at(level).items():
            together[value] = together.get(value, 0) + count
        merged = ValueCounts(self.bound, level, together)
        if len(together) <= self.bound:
            return merged
        needed = _needed_level(_hashes(list(together)), self.bound)
        return ValueCounts(self.bound, needed, merged._at(needed))

    def at_level_of(self, other: ValueCounts) -> Mapping[Counted, int]:
        """Return those values, with their counts, that `other` would have kept as well."""
        return self._at(max(self.level, other.level))

    def _at(self, level: int) -> Mapping[Counted, int]:
        if level == self.level:
            return self.counts
        kept = _survives(_hashes(list(self.counts)), level)
        return {value: n for (value, n), stays in zip(self.counts.items(), kept, strict=True) if stays}

    def to_json(self) -> dict[str, Json]:
        """Write values in increasing order, and their counts apart by spaces on one line."""
        items = self.sorted_items()
        counts = " ".join(str(count) for _, count in items)
        values = [value for value, _ in items]
        return {"bound": self.bound, "level": self.level, "values": values, "counts": counts}

    @classmethod
    def from_json(cls, value: Json) -> ValueCounts:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"bound": int(bound), "level": int(level), "values": [*values], "counts": str(counts)}:
                return cls(bound, level, _paired(values, counts))
            case _:
                raise SchemaError(f"Counts must have a bound, a level, values, counts. Got {value!r:.200}.")


def _distinct(values: Numbers) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Return the distinct values and how often each is there."""
    if len(values) > _FEW:
        shift, keys, counts = bucketed((values + 0).view(np.int64), _FEW)
        if shift == 0:
            return keys.view(values.dtype), counts
    return np.unique(values + 0, return_counts=True)


def _surviving(values: Numbers, level: int) -> Numbers:
    """Return the values whose hash starts with `level` zero bits, block by block within the cache."""
    blocks = (values[start : start + _BLOCK] + 0 for start in range(0, len(values), _BLOCK))
    return np.concatenate([block[_survives(_mixed(block.view(np.uint64)), level)] for block in blocks])


def _paired(values: Sequence[Json], counts: str) -> dict[Counted, int]:
    counted = [value for value in values if isinstance(value, str | int | float)]
    try:
        return dict(zip(counted, map(int, counts.split()), strict=True))
    except ValueError as error:
        raise SchemaError(f"There must be one count a value. Got {len(counted)} values.") from error


def _survives(hashes: Hashes, level: int) -> npt.NDArray[np.bool_]:
    """Return which hashes start with `level` zero bits."""
    if level == 0:
        return np.ones(len(hashes), np.bool_)
    return hashes < np.uint64(1 << (64 - level))


def _needed_level(hashes: Hashes, bound: int) -> int:
    """Return the smallest level that leaves at most `bound` of these hashes of distinct values."""
    if len(hashes) <= bound:
        return 0
    first_too_many = int(np.partition(hashes, bound)[bound])
    return 65 - first_too_many.bit_length()


def _hashes(values: list[Counted]) -> Hashes:
    if not values or isinstance(values[0], str):
        return _text_hashes([value for value in values if isinstance(value, str)])
    if isinstance(values[0], int):
        bits = [value & 0xFFFF_FFFF_FFFF_FFFF for value in values if isinstance(value, int)]
        return _mixed(np.array(bits, np.uint64))
    return _mixed(np.array(values, np.float64).view(np.uint64))


def _text_hashes(texts: Sequence[str]) -> Hashes:
    checksums = (zlib.crc32(text.encode("utf-8", "surrogatepass")) for text in texts)
    return _mixed(np.fromiter(checksums, np.uint64, len(texts)))


def _mixed(bits: Hashes) -> Hashes:
    """Spread bits evenly over 64, one to one (the finaliser of splitmix64; Steele, Lea and Flood 2014)."""
    bits = bits + np.uint64(0x9E37_79B9_7F4A_7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return bits ^ (bits >> np.uint64(31))
