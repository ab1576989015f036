"""What every source is to the rest: pieces that are read once, and a position after each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import pyarrow as pa

from raypipe.core.ids import Json

SOURCE_COLUMN = "_source"
INGESTED_COLUMN = "_ingested_at"
PLACE_COLUMN = "_place"
"""Which row of its piece a row is, counted from 0; only until the piece is accepted."""
RESERVED = (SOURCE_COLUMN, INGESTED_COLUMN, PLACE_COLUMN)

Delivery = Literal["exactly once", "at least once"]


@dataclass(frozen=True)
class Piece:
    """A part of a source that is read at once: a file, a page, a range of offsets or of a cursor column."""

    source: str
    name: str
    """What a person recognises it by, without secrets: a path, or such as `orders: id 100 to 250`."""
    digest: str | None
    """SHA-256 of its content as 64 hexadecimal digits; None where that is known only once it is read."""
    n_bytes: int
    """As it lies at the source; 0 where that is not known."""
    position: Json = None
    """From where the source goes on after this piece; None for a source that lists all it has each time."""
    start: Json = None
    """From where this piece begins, so that a source of another process can read it by the piece alone."""


@dataclass(frozen=True)
class Extent:
    """What lies at a source now, as far as that is known without reading it; None where it is not."""

    n_pieces: int | None
    n_rows: int | None
    n_bytes: int | None


class Source(Protocol):
    """Whatever rows come from."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str:
        """Where the rows are, without secrets."""
        ...

    @property
    def delivery(self) -> Delivery:
        """What a row can count on when a process dies at any moment."""
        ...

    @property
    def because(self) -> str:
        """Why so, in a few words."""
        ...

    @property
    def is_appended(self) -> bool:
        """Whether `pieces` tells only what is new after a position; else it lists all there is now."""
        ...

    def extent(self, after: Json) -> Extent:
        """Return how much `pieces` would tell after a position; raises SourceError."""
        ...

    def pieces(self, after: Json) -> Iterator[Piece]:
        """Yield pieces in order. `after` is the position of the last piece that was kept, None at first.

        Each is yielded as soon as it is known, up to what there was when the first was asked for: whoever
        keeps a piece before asking for the next may be stopped at any moment. Raises SourceError where the
        source cannot be reached, or, with `after` None, has nothing at all.
        """
        ...

    def read(self, piece: Piece) -> pa.Table:
        """Return the rows of a piece as the source has them; raises SourceError and SchemaError."""
        ...
