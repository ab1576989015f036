from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.core.errors import SchemaError, SourceError
from raypipe.data.csv_file import read_csv
from raypipe.data.locations import SourceFile, locate
from raypipe.data.sources.config import CsvSettings

Writer = Callable[[str | bytes], SourceFile]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    def write(content: str | bytes, name: str = "f.csv") -> SourceFile:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return locate(CsvSettings(name="s", format="csv", path=str(path)))[0]

    return write


def test_types_are_found_and_quotes_respected(written: Writer) -> None:
    text = 'n,x,when,word,flag\n1,0.5,2026-01-02T03:04:05Z,"a,\nb",true\n2,,2026-01-03T00:00:00Z,,false\n'
    table = read_csv(written(text), {})
    assert [str(type) for type in table.schema.types] == [
        "int64",
        "double",
        "timestamp[s, tz=UTC]",
        "string",
        "bool",
    ]
    assert table["word"].to_pylist() == ["a,\nb", None]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(written: Writer, delimiter: str) -> None:
    table = read_csv(written(f'"a,b"{delimiter}c\n1{delimiter}2\n'), {})
    assert table.column_names == ["a,b", "c"]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (file,) = locate(CsvSettings(name="s", format="csv", path=str(tmp_path)))
    assert read_csv(file, {}).to_pylist() == [{"a": 1, "b": 2}]


def test_a_declared_kind_decides(written: Writer) -> None:
    table = read_csv(written("zip,n\n00501,1\n"), {"zip": "category", "n": "number"})
    assert table.to_pylist() == [{"zip": "00501", "n": 1.0}]


def test_a_type_that_changes_far_down_the_file_names_column_row_and_value(written: Writer) -> None:
    rows = [f"{n},{n}" for n in range(140_000)]
    rows[69_999] = "69999,about 7"
    with pytest.raises(
        SchemaError, match=r"column 'b' of .*f\.csv starts with numbers .* 'about 7' in row 70,000"
    ):
        read_csv(written("a,b\n" + "\n".join(rows) + "\n"), {})


def test_times_that_turn_into_something_else_are_refused(written: Writer) -> None:
    rows = ["2026-01-02 03:04"] * 20 + ["soon"]
    with pytest.raises(SchemaError, match=r"starts with times but holds 'soon' in row 21"):
        read_csv(written("t,k\n" + "".join(f"{row},1\n" for row in rows)), {})


def test_declared_text_may_mix_numbers_and_words(written: Writer) -> None:
    rows = "".join(f"{word},1\n" for word in ["0"] * 30 + ["a"])
    assert (
        read_csv(written("holiday,k\n" + rows), {"holiday": "category"})["holiday"].type == pa.large_string()
    )


def test_a_declared_column_with_other_values_is_text(written: Writer) -> None:
    table = read_csv(written("a,b\n1,2\n1,x\n"), {"b": "integer"})
    assert table.to_pydict() == {"a": [1, 1], "b": ["2", "x"]}


def test_a_row_of_another_length_is_refused_with_its_row(written: Writer) -> None:
    with pytest.raises(SourceError, match=r"is not a CSV table: .*Row #3: Expected 2 columns, got 3"):
        read_csv(written("a,b\n1,2\n1,2,3\n"), {})
