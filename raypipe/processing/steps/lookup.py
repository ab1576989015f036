"""Values that have a code, which is a line in a small table of features."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.data.schema import Column

Float32Matrix: TypeAlias = npt.NDArray[np.float32]
RARE, MISSING = "<rare>", "<missing>"


class Lookup(Protocol):
    """A step whose features are a line of `table`: of the value's word, of unseen ones, of missing ones."""

    @property
    def column(self) -> Column: ...

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Values as text: integers in decimal, booleans as `true` and `false`."""
        ...

    @property
    def table(self) -> Float32Matrix:
        """Shape (words + 2, features)."""
        ...


def unseen_code(step: Lookup) -> int:
    """Return the code of a value that is not in the vocabulary."""
    return len(step.vocabulary)


def missing_code(step: Lookup) -> int:
    """Return the code of a missing value."""
    return len(step.vocabulary) + 1


def code_of(step: Lookup, text: str) -> int:
    """Return the code of a value."""
    return step.vocabulary.index(text) if text in step.vocabulary else unseen_code(step)
