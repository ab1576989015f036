from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.errors import SchemaError, SourceError
from raypipe.data.config import DataSettings
from raypipe.data.sources.opened import kinds_of, open_sources
from raypipe.data.sources.rows import SourceRows, listed, read_stacked, unify


def settings(*paths: Path, **more: Any) -> DataSettings:
    sources = [
        {"name": f"s{n}", "format": "csv" if path.suffix == ".csv" else "parquet", "path": str(path)}
        for n, path in enumerate(paths)
    ]
    return DataSettings.model_validate({"sources": sources, "label": "y", **more})


def read(*paths: Path, **more: Any) -> SourceRows:
    declared = settings(*paths, **more)
    kinds = kinds_of(declared)
    pieces = [one for source in open_sources(declared) for one in listed(source, kinds, declared.drop)]
    return read_stacked(pieces, kinds, declared.drop)


def write(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_all_files_of_all_sources_stack(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "2.parquet", x=[3])
    write(tmp_path / "a" / "1.parquet", x=[1, 2])
    (tmp_path / "b.csv").write_text("x\n4.5\n")
    rows = read(tmp_path / "a", tmp_path / "b.csv")
    assert rows.table.to_pydict() == {"x": [1.0, 2.0, 3.0, 4.5], "_source": ["s0", "s0", "s0", "s1"]}
    assert rows.n_rows == (2, 1, 1)


def test_safe_differences_of_type_and_order_are_bridged(tmp_path: Path) -> None:
    words = pa.array(["a"]).dictionary_encode()
    first = write(tmp_path / "1.parquet", n=pa.array([1], pa.int8()), w=words, t=pa.array([0], pa.date32()))
    second = write(
        tmp_path / "2.parquet",
        t=pa.array([1], pa.timestamp("ns", "Asia/Tokyo")),
        w=pa.array(["b"], pa.large_string()),
        n=pa.array([None], pa.null()),
    )
    table = read(first, second).table
    assert table.schema.names == ["n", "w", "t", "_source"]
    assert table["n"].to_pylist() == [1, None]
    assert table["t"].type == pa.timestamp("us", "UTC")


def test_a_file_of_another_type_is_named_with_both_types(tmp_path: Path) -> None:
    first = write(tmp_path / "1.parquet", x=[1])
    second = write(tmp_path / "2.parquet", x=["one"])
    with pytest.raises(
        SchemaError, match=r"column 'x' of .*2\.parquet is string, but in .*1\.parquet it is int64"
    ):
        read(first, second)


@pytest.mark.parametrize(
    ("names", "sentence"), [("ab", "lacks the column 'c'"), ("abcd", "has the column 'd'")]
)
def test_a_file_of_other_columns_is_named(tmp_path: Path, names: str, sentence: str) -> None:
    first = write(tmp_path / "1.parquet", **{name: [1] for name in "abc"})
    second = write(tmp_path / "2.parquet", **{name: [1] for name in names})
    with pytest.raises(SchemaError, match=rf"2\.parquet {sentence}"):
        read(first, second)


def test_a_column_without_any_value_becomes_text() -> None:
    assert unify([("f", pa.schema([("x", pa.null())]))]).field("x").type == pa.large_string()


def test_unsupported_types_are_refused_unless_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", x=[1], nested=[[1, 2]])
    with pytest.raises(SchemaError, match=r"column 'nested' of .* list.*name it in `drop`"):
        read(path)
    assert read(path, drop=["nested"]).table.column_names == ["x", "_source"]


def test_a_declared_kind_casts_parquet_too(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", code=[1, 2])
    rules = {"columns": {"code": {"kind": "category"}}}
    assert read(path, contract=rules).table["code"].to_pylist() == ["1", "2"]


def test_a_value_that_cannot_be_cast_is_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", x=pa.array([2**64 - 1], pa.uint64()))
    with pytest.raises(SchemaError, match=r"column 'x' of .* cannot be read as int64"):
        read(path)


@pytest.mark.parametrize("content", [b"not parquet at all", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_parquet_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"1\.parquet of source s0 is not a parquet file, or is damaged"):
        read(path)


def test_damage_within_the_data_pages_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    table = pa.table({"x": [f"word {n}" for n in range(5000)]})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is damaged"):
        read(path)


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", x=pa.array([], pa.int64()))
    with pytest.raises(SourceError, match="holds no rows"):
        read(path)
    (tmp_path / "h.csv").write_text("a,b\n")
    with pytest.raises(SourceError, match="holds no rows"):
        read(tmp_path / "h.csv")


def test_names_that_collide_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="two columns named 'A' and 'a'"):
        read(write(tmp_path / "1.parquet", A=[1], a=[1]))
    with pytest.raises(SchemaError, match=r"'_source' of .* a name that raypipe keeps for itself"):
        read(write(tmp_path / "1.parquet", _source=[1]))
    (tmp_path / "d.csv").write_text("a,a\n1,2\n")
    with pytest.raises(SchemaError, match="two columns named 'a' and 'a'"):
        read(tmp_path / "d.csv")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"a,b\n\xff,2\n")
    with pytest.raises(SchemaError, match=r"column 'a' of .* binary"):
        read(tmp_path / "l.csv")
