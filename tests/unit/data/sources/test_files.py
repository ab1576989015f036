"""Files as a source: JSON lines, text, what another process listed, and what there is of them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import TypeAdapter

from raypipe.core.errors import SchemaError, SourceError
from raypipe.data.sources import files
from raypipe.data.sources.config import FileSettings
from raypipe.data.sources.files import FileSource
from raypipe.data.sources.records import Declared
from raypipe.data.sources.source import Extent


def source(path: Path, format: str = "jsonl", declared: Declared | None = None) -> FileSource:
    settings = TypeAdapter(FileSettings).validate_python({"name": "s", "format": format, "path": str(path)})
    return FileSource(settings, declared or Declared({}))


def lines(tmp_path: Path, *rows: str, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(rows) + "\n")
    return path


def read(path: Path, **more: Any) -> pa.Table:
    found = source(path, **more)
    (piece,) = found.pieces(None)
    return found.read(piece)


def test_a_json_object_a_line_with_columns_in_order_of_appearance(tmp_path: Path) -> None:
    table = read(lines(tmp_path, '{"b": 1, "a": "x"}', "", '{"c": true, "b": 2.5, "a": null}'))
    assert table.to_pydict() == {"b": [1.0, 2.5], "a": ["x", None], "c": [None, True]}
    assert table.schema.types == [pa.float64(), pa.string(), pa.bool_()]


def test_texts_that_look_like_times_stay_texts(tmp_path: Path) -> None:
    assert read(lines(tmp_path, '{"t": "2026-01-01"}'))["t"].type == pa.string()


def test_a_declared_text_takes_whatever_json_has(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"z": "00501"}', '{"z": 501}', '{"z": {"a": [1]}}', '{"z": null}')
    found = read(path, declared=Declared({"z": "category"}))
    assert found["z"].to_pylist() == ["00501", "501", '{"a": [1]}', None]


@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        (['{"a": 1}', "{"], SourceError, r"line 2 of .*a\.jsonl must be one JSON object\. Got '\{'"),
        (['[{"a": 1}]'], SourceError, r"line 1 of .* must be one JSON object"),
        (['{"a": 1}', '{"a": "x"}'], SchemaError, r"column 'a' of .* holds values of type int and str"),
        (['{"a": 1}', '{"a": 100000000000000000000}'], SchemaError, r"column 'a' of .*kind: category"),
    ],
)
def test_what_makes_no_column_is_named(
    tmp_path: Path, rows: list[str], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        read(lines(tmp_path, *rows))


def test_a_dropped_column_may_hold_anything(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"a": 1}', '{"a": "x"}')
    assert read(path, declared=Declared({}, ("a",)))["a"].to_pylist() == ["1", "x"]


def test_types_are_those_of_the_whole_file_however_long(tmp_path: Path) -> None:
    path = lines(tmp_path, *['{"a": 1}'] * 50_001, '{"a": 0.5, "b": "late"}')
    table = read(path)
    assert (table["a"].type, table.num_rows, table["b"].null_count) == (pa.float64(), 50_002, 50_001)


def test_text_is_a_row_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress("one\r\n\nthree é\u2028same line".encode()))
    table = read(path, format="text")
    assert table.to_pydict() == {"text": ["one", "", "three é\u2028same line"]}


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(SourceError, match=r"line 2 of .*a\.txt of source s is not UTF-8 text"):
        read(tmp_path / "a.txt", format="text")


def test_a_piece_is_a_file_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"a": 1}')
    (piece,) = source(tmp_path).pieces(None)
    assert (piece.name, piece.n_bytes, piece.position) == (str(path), 9, None)
    assert piece.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_process_reads_a_piece_that_was_listed_if_it_is_the_same(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"a": 1}')
    (piece,) = source(tmp_path).pieces(None)
    assert source(tmp_path).read(piece).to_pydict() == {"a": [1]}
    path.write_text('{"a": 2}\n')
    with pytest.raises(SourceError, match="changed since it was listed"):
        source(tmp_path).read(piece)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.jsonl of source s is gone"):
        source(tmp_path).read(piece)


def test_a_file_that_changes_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"a": 1}')
    found = source(tmp_path)
    (piece,) = found.pieces(None)
    path.write_text('{"a": 1, "b": 2}\n')
    with pytest.raises(SourceError, match="changed while it was read"):
        found.read(piece)


def test_a_large_parquet_file_is_cut_between_its_row_groups(
    tmp_path: Path,
) -> None:
    table = pa.table({"n": range(100)})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=20)
    (whole,) = source(tmp_path, "parquet").pieces(None)
    found = replace(source(tmp_path, "parquet"), piece_rows=50)
    pieces = list(found.pieces(None))
    assert [found.read(piece).num_rows for piece in pieces] == [40, 40, 20]
    assert pa.concat_tables([source(tmp_path, "parquet").read(piece) for piece in pieces]) == table
    assert len({whole.digest, *(piece.digest for piece in pieces)}) == 4
    assert found.extent(None) == Extent(3, 100, sum(piece.n_bytes for piece in pieces))
    assert [piece.name.partition(", ")[2] for piece in pieces][1] == "row groups 2 to 4"
    parquet.write_table(table.slice(1), tmp_path / "a.parquet", row_group_size=20)
    with pytest.raises(SourceError, match="changed since it was listed"):
        source(tmp_path, "parquet").read(pieces[0])


@given(sizes=st.lists(st.integers(1, 120), min_size=1, max_size=20))
def test_every_row_group_is_in_one_piece(sizes: list[int]) -> None:
    runs = list(files._runs([size * 100_000 for size in sizes], files.PIECE_ROWS))
    assert [number for first, end in runs for number in range(first, end)] == list(range(len(sizes)))
    for first, end in runs:
        assert end - first == 1 or sum(sizes[first:end]) * 100_000 <= files.PIECE_ROWS


def test_what_there_is_is_told_without_reading_it(tmp_path: Path) -> None:
    n_bytes = sum(lines(tmp_path, "{}", name=name).stat().st_size for name in ("a.jsonl", "b.jsonl"))
    assert source(tmp_path).extent(None) == Extent(2, None, n_bytes)
    parquet.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.parquet")
    assert source(tmp_path, "parquet").extent(None).n_rows == 3
