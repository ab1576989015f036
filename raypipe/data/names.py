"""Naming what a person probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 8


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the names nearest to `name`, or the first few known ones, as the end of a sentence."""
    names = list(known)
    folded = {other.casefold(): other for other in names}
    near = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    if near:
        return "did you mean " + " or ".join(repr(other) for other in near) + "?"
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    return f"there are {listed}." if names else "there are none."
