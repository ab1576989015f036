"""Files whose rows are their lines: JSON objects, or plain text."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from raypipe.core.errors import SourceError
from raypipe.data.locations import SourceFile
from raypipe.data.sources.records import Declared, json_lines, records_table, stacked

TEXT_COLUMN = "text"
BLOCK_BYTES = 16 * 1024 * 1024


def read_json_lines(file: SourceFile, declared: Declared) -> pa.Table:
    """Read one JSON object a line; raises SourceError and SchemaError."""
    tables = [
        records_table(json_lines(lines, str(file), first), str(file), declared)
        for first, lines in line_blocks(file)
    ]
    return stacked([table for table in tables if table.num_columns], str(file))


def read_text(file: SourceFile) -> pa.Table:
    """Read each line as a row; raises SourceError for text that is not UTF-8."""
    parts = [_texts(file, first, lines) for first, lines in line_blocks(file)]
    return pa.table({TEXT_COLUMN: pa.chunked_array(parts, pa.large_string())})


def line_blocks(file: SourceFile) -> Iterator[tuple[int, list[bytes]]]:
    """Yield whole lines without their ends, and the number of the first of them, some megabytes at a time."""
    first, rest = 1, b""
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        while block := stream.read(BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            if lines:
                yield first, [line.removesuffix(b"\r") for line in lines]
                first += len(lines)
    if rest:
        yield first, [rest.removesuffix(b"\r")]


def _texts(file: SourceFile, first: int, lines: list[bytes]) -> pa.Array:
    try:
        return pa.array([line.decode() for line in lines], pa.large_string())
    except UnicodeDecodeError as error:
        number = next(n for n, line in enumerate(lines, first) if error.object == line)
        raise SourceError(
            f"line {number:,} of {file} of source {file.source.name} is not UTF-8 text; convert the file."
        ) from error
