"""Files as a source: each is a piece, known by the SHA-256 of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, assert_never

import pyarrow as pa
from pyarrow import parquet

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json, canonical_json, sha256_bytes
from raypipe.data.csv_file import read_csv
from raypipe.data.locations import SourceFile, check_unchanged, locate, reopen, sha256_of
from raypipe.data.sources.config import FileSettings
from raypipe.data.sources.line_files import read_json_lines, read_text
from raypipe.data.sources.places import masked
from raypipe.data.sources.records import UNDECLARED, Declared
from raypipe.data.sources.source import Delivery, Extent, Piece

COUNTED_FILES = 1000
"""Of how many Parquet files the footers are read to count rows."""
PIECE_ROWS = 2 * 1024 * 1024
"""A Parquet file of more rows is cut between its row groups, so that memory does not grow with the file."""


@dataclass(frozen=True)
class FileSource:
    """Parquet, CSV, JSON lines or text files at a path, listed anew each time."""

    settings: FileSettings
    declared: Declared = UNDECLARED
    piece_rows: int = PIECE_ROWS
    _located: dict[str, SourceFile] = field(default_factory=dict, repr=False, compare=False)

    delivery: ClassVar[Delivery] = "exactly once"
    because: ClassVar[str] = "a file is known by the digest of its bytes"
    is_appended: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def place(self) -> str:
        return masked(self.settings.path)

    def extent(self, after: Json) -> Extent:  # noqa: ARG002 - all files are listed each time
        files = locate(self.settings)
        n_pieces, n_rows = len(files), None
        if self.settings.format == "parquet" and len(files) <= COUNTED_FILES:
            footers = [_footer(file) for file in files]
            n_rows = sum(footer.num_rows for footer in footers)
            n_pieces = sum(max(1, len(_cuts(footer, self.piece_rows))) for footer in footers)
        return Extent(n_pieces, n_rows, sum(file.n_bytes for file in files))

    def pieces(self, after: Json) -> Iterator[Piece]:  # noqa: ARG002 - all files are listed each time
        for file in locate(self.settings):
            self._located[file.path] = file
            whole = Piece(self.name, file.path, sha256_of(file), file.n_bytes)
            is_cut = self.settings.format == "parquet"
            yield from _cut(file, whole, self.piece_rows) if is_cut else (whole,)

    def file_of(self, piece: Piece) -> SourceFile:
        """Return the file that holds a piece; raises SourceError where it is not what was listed."""
        path, groups = _part_of(piece)
        return self._located.get(path) or self._found_again(piece, path, groups)

    def read(self, piece: Piece) -> pa.Table:
        file, (_, groups) = self.file_of(piece), _part_of(piece)
        try:
            table = self._read(file, groups)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file, error) from error
        check_unchanged(file)
        return table

    def _found_again(self, piece: Piece, path: str, groups: tuple[int, int] | None) -> SourceFile:
        """Find the file of a piece that another process listed."""
        file = reopen(self.settings, path)
        if _digest(sha256_of(file), groups) != piece.digest:
            raise SourceError(
                f"{file} of source {self.name} changed since it was listed; run again once whoever writes it "
                "has finished."
            )
        return file

    def _read(self, file: SourceFile, groups: tuple[int, int] | None) -> pa.Table:
        match self.settings.format:
            case "parquet":
                with file.filesystem.open_input_file(file.path) as stream:
                    opened = parquet.ParquetFile(stream)
                    return opened.read_row_groups(range(*groups)) if groups else opened.read()
            case "csv":
                return read_csv(file, self.declared.kinds)
            case "jsonl":
                return read_json_lines(file, self.declared)
            case "text":
                return read_text(file)
            case never:
                assert_never(never)


def _cut(file: SourceFile, whole: Piece, piece_rows: int) -> Iterator[Piece]:
    """Yield a file as one piece, or its row groups as pieces of about so many rows."""
    cuts = _cuts(_footer(file), piece_rows)
    if not cuts:
        yield whole
    for number, (first, end) in enumerate(cuts):
        bounds = [file.n_bytes * place // len(cuts) for place in (number, number + 1)]
        yield replace(
            whole,
            name=f"{file.path}, row groups {first} to {end}",
            digest=_digest(whole.digest, (first, end)),
            n_bytes=bounds[1] - bounds[0],
            start={"path": file.path, "first": first, "end": end},
        )


def _cuts(footer: parquet.FileMetaData, piece_rows: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges of row groups that a file is cut into; none where it is one piece."""
    if footer.num_rows <= piece_rows:
        return ()
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    return tuple(_runs(sizes, piece_rows))


def _runs(sizes: Sequence[int], piece_rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of row groups that have so many rows at most, or are one group."""
    first = n_rows = 0
    for number, size in enumerate(sizes):
        if n_rows and n_rows + size > piece_rows:
            yield first, number
            first, n_rows = number, 0
        n_rows += size
    yield first, len(sizes)


def _part_of(piece: Piece) -> tuple[str, tuple[int, int] | None]:
    """Return the path of a piece's file, and which row groups it is where it is not the whole file."""
    match piece.start:
        case {"path": str(path), "first": int(first), "end": int(end)}:
            return path, (first, end)
        case _:
            return piece.name, None


def _digest(whole: str | None, groups: tuple[int, int] | None) -> str | None:
    return whole if groups is None else sha256_bytes(canonical_json([whole, *groups]))


def _footer(file: SourceFile) -> parquet.FileMetaData:
    try:
        with file.filesystem.open_input_file(file.path) as stream:
            return parquet.ParquetFile(stream).metadata
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: SourceFile, error: Exception) -> SourceError:
    cause = str(error).splitlines()[0].rstrip(".")
    return SourceError(
        f"{file} of source {file.source.name} is not a {file.source.format} file, or is damaged: {cause}."
    )
