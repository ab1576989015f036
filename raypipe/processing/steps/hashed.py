"""Values and words by hash: as many features as wanted, no vocabulary, nothing unseen."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from raypipe.data.schema import Column
from raypipe.processing.steps.lookup import MISSING

_WORD = re.compile(r"\w+")
_CACHED_WORDS = 100_000


@dataclass(frozen=True)
class FittedHash:
    """A value becomes 1 or -1, by a bit of its hash, in the feature that the rest of its hash chooses."""

    column: Column
    n_features: int
    missing: bool
    """Whether a last feature says 1 where the value was missing."""
    fill: str | None = None
    """The value that a missing one counts as."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return _numbered(self.column.name, self.n_features, self.missing)


@dataclass(frozen=True)
class FittedText:
    """A text becomes the signed counts of its words and their neighbours by hash, of length 1.

    Words are runs of letters, digits and underscores, in lower case and in Unicode's form NFKC.
    """

    column: Column
    n_features: int
    ngrams: tuple[int, int]
    """The fewest and most neighbouring words taken together."""
    missing: bool
    """Whether a last feature says 1 where the text was missing."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return _numbered(self.column.name, self.n_features, self.missing)

    def weights(self, text: str) -> dict[int, float]:
        """Return the features of a text that are not 0, by their place."""
        sums: dict[int, int] = {}
        for term in _terms(text, self.ngrams):
            place, sign = place_of(term, self.n_features)
            sums[place] = sums.get(place, 0) + sign
        squares = sum(n * n for n in sums.values())
        if squares == 0:
            return {}
        reciprocal = 1 / math.sqrt(squares)
        return {place: n * reciprocal for place, n in sums.items()}


@lru_cache(_CACHED_WORDS)
def place_of(text: str, n_features: int) -> tuple[int, int]:
    """Return the feature and the sign of a text: functions of its UTF-8 bytes alone, on any machine."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    hashed = int.from_bytes(digest, "little")
    return (hashed >> 1) % n_features, 1 if hashed & 1 else -1


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case and in Unicode's form NFKC."""
    return _WORD.findall(unicodedata.normalize("NFKC", text.lower()))


def _terms(text: str, ngrams: tuple[int, int]) -> Iterator[str]:
    found = words(text)
    for n in range(ngrams[0], ngrams[1] + 1):
        if n == 1:
            yield from found
        else:
            yield from (" ".join(found[i : i + n]) for i in range(len(found) - n + 1))


def _numbered(name: str, n_features: int, missing: bool) -> tuple[str, ...]:
    return (*(f"{name}#{i}" for i in range(n_features)), *[f"{name}={MISSING}"] * missing)
