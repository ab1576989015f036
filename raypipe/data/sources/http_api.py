"""An HTTP API as a source: each page of its JSON answers is a piece."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import pyarrow as pa

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json, canonical_json, sha256_bytes
from raypipe.data.sources.config import CursorPagination, HttpSettings
from raypipe.data.sources.http_client import HttpClient
from raypipe.data.sources.http_pages import Page, next_start, page_of, target_of
from raypipe.data.sources.places import masked
from raypipe.data.sources.records import UNDECLARED, Declared, records_table
from raypipe.data.sources.source import Delivery, Extent, Piece

MEMORY_BYTES = 64_000_000
"""How much of pages that wait to be read stays in memory; the rest lies in a temporary file."""


@dataclass
class _Kept:
    """The bodies of pages that were listed and are not read yet."""

    file: IO[bytes] = field(default_factory=lambda: tempfile.SpooledTemporaryFile(MEMORY_BYTES))  # noqa: SIM115
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def put(self, name: str, body: bytes) -> None:
        self.places[name] = self.file.seek(0, 2), len(body)
        self.file.write(body)

    def take(self, name: str) -> bytes | None:
        start, n_bytes = self.places.pop(name, (0, -1))
        if n_bytes < 0:
            return None
        self.file.seek(start)
        return self.file.read(n_bytes)


@dataclass
class HttpSource:
    """Records of an API that answers GET with JSON.

    A page is asked for when it is listed, and kept until it is read.
    """

    settings: HttpSettings
    declared: Declared = UNDECLARED
    _kept: _Kept | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def place(self) -> str:
        return masked(self.settings.url)

    @property
    def delivery(self) -> Delivery:
        return "exactly once" if self.is_appended or self.settings.pagination is None else "at least once"

    @property
    def because(self) -> str:
        match self.settings.pagination:
            case None:
                return "one answer, read anew each time"
            case CursorPagination(field=str(name)):
                return f"each page begins after the last {name} that was read"
            case _:
                return "rows may move between pages while they are read"

    @property
    def is_appended(self) -> bool:
        pagination = self.settings.pagination
        return isinstance(pagination, CursorPagination) and pagination.field is not None

    def extent(self, after: Json) -> Extent:  # noqa: ARG002 - the API would have to be read for it
        return Extent(None, None, None)

    def pieces(self, after: Json) -> Iterator[Piece]:
        self._kept = kept = _Kept()
        n_pieces = 0
        for number, page in self._pages({"cursor": after} if after is not None else None):
            if page.records:
                name = f"{self.place}: page {number:,}" + ("" if after is None else f" after {after}")
                kept.put(name, page.body)
                n_pieces += 1
                position = page.last if self.is_appended else None
                yield Piece(self.name, name, sha256_bytes(page.body), len(page.body), position, page.start)
        if not n_pieces and after is None:
            raise SourceError(f"source {self.name} has no rows: {self.place} answers without records.")

    def read(self, piece: Piece) -> pa.Table:
        body = self._kept.take(piece.name) if self._kept else None
        if body is None:
            body = self._asked_again(piece)
        page = page_of(self.settings, piece.start, body, None)
        return records_table(page.records, piece.name, self.declared)

    def _asked_again(self, piece: Piece) -> bytes:
        """Ask for a page that another process listed."""
        with HttpClient(self.settings) as client:
            body = client.get(target_of(self.settings, piece.start)).body
        if sha256_bytes(body) != piece.digest:
            raise SourceError(f"{piece.name} of source {self.name} changed since it was listed; run again.")
        return body

    def _pages(self, start: Json) -> Iterator[tuple[int, Page]]:
        asked = set()
        with HttpClient(self.settings) as client:
            for number in range(1, self.settings.max_pages + 1):
                asked.add(canonical_json(start))
                answer = client.get(target_of(self.settings, start))
                page = page_of(self.settings, start, answer.body, answer.link)
                yield number, page
                start = next_start(self.settings, page)
                if start is None:
                    return
                if canonical_json(start) in asked:
                    raise SourceError(
                        f"page {number:,} of {self.place} names a page before it as the next one; "
                        f"correct `pagination` of source {self.name}."
                    )
        if not self.is_appended:
            raise SourceError(
                f"source {self.name} has more than max_pages {self.settings.max_pages:,} pages; raise it, "
                "or ask for larger pages."
            )
