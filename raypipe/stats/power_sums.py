"""The exact sum of floats and the exact sum of their squares, at the speed of ordinary arithmetic.

A value is cut into parts, each a multiple of a power of two (its grid) of at most 22 bits: adding a large
number and taking it away again rounds to the grid without error, and what is left is exact too. A product
of two parts has 44 bits, so 512 of them add up within the 53 bits of a float64: their dot product is exact,
in whatever order the processor adds. Three parts hold all bits of values down to some 15 powers of two below
the largest; the few smaller ones go through again with grids of their own. The cutting is that of Rump,
Ogita and Oishi (Accurate floating-point summation, SIAM J. Sci. Comput. 31, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raypipe.stats.dyadic import Dyadic

Floats = npt.NDArray[np.float64]
Sums = tuple[Dyadic, Dyadic]

_N_PARTS = 3
_PART_BITS = 22
_PART_MASK = (1 << _PART_BITS) - 1
_PAIRS = [(i, j) for i in range(_N_PARTS) for j in range(i, _N_PARTS)]
_DOT_LENGTH = 1 << (53 - 2 * _PART_BITS)
_BLOCK = 32 * _DOT_LENGTH
"""Values cut at a time: the parts of a block stay in the processor's second cache."""
_FAR, _MOVE = 2.0**300, 600
"""Values from here on, or all below its reciprocal, are first brought nearer to 1 by powers of two."""


def power_sums(values: Floats) -> Sums:
    """Return the exact sum of finite values and the exact sum of their squares."""
    if not len(values):
        return Dyadic(), Dyadic()
    largest = _largest(values)
    if largest >= _FAR:
        far = np.abs(values) >= _FAR
        return _plus(power_sums(values[~far]), _scaled(power_sums(np.ldexp(values[far], -_MOVE)), _MOVE))
    if largest < 1 / _FAR:
        return _scaled(power_sums(np.ldexp(values, _MOVE)), -_MOVE) if largest else (Dyadic(), Dyadic())
    found, left = _summed(values, math.frexp(largest)[1])
    return _plus(found, power_sums(left))


def _largest(values: Floats) -> float:
    return max(float(values.max()), -float(values.min()))


def _plus(a: Sums, b: Sums) -> Sums:
    return a[0] + b[0], a[1] + b[1]


def _scaled(sums: Sums, exponent: int) -> Sums:
    """Return the sums for values that are larger by 2**exponent."""
    return sums[0] * Dyadic.of(1, exponent), sums[1] * Dyadic.of(1, 2 * exponent)


def _summed(values: Floats, exponent: int) -> tuple[Sums, Floats]:
    """Return both sums over the values that three parts hold, and the values that they do not.

    Absolute values must be below 2**exponent.
    """
    units = [exponent - _PART_BITS - i * (_PART_BITS + 1) for i in range(_N_PARTS)]
    size = min(_BLOCK, -(-len(values) // _DOT_LENGTH) * _DOT_LENGTH)
    parts, rest = np.empty((_N_PARTS, size)), np.empty(size)
    sums, dots, left = [], [], []
    for start in range(0, len(values), size):
        block = values[start : start + size]
        _cut(block, units, parts, rest)
        if rest.any():
            too_small = np.flatnonzero(rest)
            left.append(block[too_small])
            parts[:, too_small] = 0.0
        sums.append(parts.sum(axis=1))
        rows = parts.reshape(_N_PARTS, -1, _DOT_LENGTH)
        dots.append([np.vecdot(rows[i], rows[j]) for i, j in _PAIRS])
    total = _added_up(np.transpose(sums), units, [0] * _N_PARTS)
    pairs = [(units[i] + units[j], int(i != j)) for i, j in _PAIRS]
    squares = _added_up(np.swapaxes(dots, 0, 1), *zip(*pairs, strict=True))
    return (total, squares), np.concatenate(left) if left else np.empty(0)


def _cut(block: Floats, units: list[int], parts: Floats, rest: Floats) -> None:
    """Write the parts of the values, largest first, and what no part holds; zeros fill up a short block."""
    n = len(block)
    parts[:, n:], rest[n:] = 0.0, 0.0
    source = block
    for part, unit in zip(parts, units, strict=True):
        rounder = math.ldexp(1.5, 52 + unit)
        np.add(source, rounder, out=part[:n])
        np.subtract(part[:n], rounder, out=part[:n])
        np.subtract(source, part[:n], out=rest[:n])
        source = rest[:n]


def _added_up(rows: Floats, units: Sequence[int], doublings: Sequence[int]) -> Dyadic:
    """Return the exact sum of rows of multiples of 2**unit, each row doubled so many times."""
    total = Dyadic()
    for row, unit, doubled in zip(rows, units, doublings, strict=True):
        whole = np.ldexp(row, -unit).astype(np.int64)
        high, low = int((whole >> _PART_BITS).sum()), int((whole & _PART_MASK).sum())
        total += Dyadic.of((high << _PART_BITS) + low, unit + doubled)
    return total
