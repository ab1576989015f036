"""Rows of erased people are not let in again, though a source still has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pyarrow as pa

from raypipe.data.erasure.people import Mask, People
from raypipe.data.pieces import Accepted
from raypipe.data.sources.rows import PieceRows


def let_in(
    people: People | None, rows: PieceRows, accept: Callable[[PieceRows], Accepted]
) -> tuple[Accepted, int]:
    """Return what is accepted of a piece without the rows of these people, and how many those were.

    They are left out before any rule is asked, and after it once more, for a column that was joined.
    """
    if people is None:
        return accept(rows), 0
    theirs = people.mask(rows.table)
    accepted = accept(_without(rows, theirs))
    joined = people.mask(accepted.rows.to_arrow())
    n_erased = int(theirs.sum()) + int(joined.sum())
    found = replace(
        accepted,
        rows=accepted.rows.filter(pl.Series(~joined)),
        n_rows=accepted.n_rows + int(theirs.sum()),
        quarantined=_kept(people, accepted.quarantined),
    )
    return found, n_erased


def _without(rows: PieceRows, theirs: Mask) -> PieceRows:
    return rows.filtered(pa.array(~theirs)) if theirs.any() else rows


def _kept(people: People, quarantined: pl.DataFrame) -> pl.DataFrame:
    if not quarantined.height:
        return quarantined
    theirs = people.in_texts(pa.chunked_array([quarantined["row"].to_arrow()]))
    return quarantined.filter(pl.Series(~theirs))
