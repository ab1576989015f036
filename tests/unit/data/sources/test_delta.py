"""A Delta table as a source: one version whole, or what each version adds, each file once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json
from raypipe.data.sources.config import DeltaSettings
from raypipe.data.sources.delta import DeltaSource
from raypipe.data.sources.source import Extent


def append(path: Path, *numbers: int, **more: Any) -> None:
    rows = pa.table({"n": numbers, "part": [f"p {n % 2}" for n in numbers]})
    write_deltalake(path, rows, mode="append", partition_by=["part"], **more)


def source(path: Path, **more: Any) -> DeltaSource:
    return DeltaSource(DeltaSettings(name="s", format="delta", path=str(path), **more))


def numbers(found: DeltaSource, after: Json = None) -> list[int]:
    return sorted(n for piece in found.pieces(after) for n in found.read(piece)["n"].to_pylist())


def test_the_newest_version_is_read_whole_with_its_partitions(tmp_path: Path) -> None:
    append(tmp_path, 1, 2, 3)
    DeltaTable(tmp_path).delete("n = 1")
    found = source(tmp_path)
    pieces = list(found.pieces(None))
    tables = [found.read(piece) for piece in pieces]
    assert sorted(row["n"] for table in tables for row in table.to_pylist()) == [2, 3]
    assert {row["part"] for table in tables for row in table.to_pylist()} == {"p 0", "p 1"}
    assert found.extent(None) == Extent(2, 2, sum(piece.n_bytes for piece in pieces))
    assert (found.is_appended, {piece.position for piece in pieces}) == (False, {None})
    assert numbers(source(tmp_path, version=0)) == [1, 2, 3]


def test_equal_content_has_an_equal_digest_wherever_it_lies(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    append(first, 1, 3)
    append(second, 1, 3)
    digests = [[piece.digest for piece in source(path).pieces(None)] for path in (first, second)]
    assert digests[0] == digests[1]


def test_followed_each_file_comes_once_and_compaction_brings_none(tmp_path: Path) -> None:
    append(tmp_path, 1, 2, 3)
    append(tmp_path, 4, 5)
    found = source(tmp_path, follow=True)
    first = list(found.pieces(None))
    assert numbers(found) == [1, 2, 3, 4, 5]
    last = first[-1].position
    assert numbers(found, after=last) == []
    append(tmp_path, 6, 7)
    DeltaTable(tmp_path).optimize.compact()
    append(tmp_path, 8)
    assert numbers(found, after=last) == [6, 7, 8]
    assert found.extent(last) == Extent(3, 3, found.extent(last).n_bytes)


def test_stopped_after_any_piece_it_goes_on_with_the_next(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    found = source(tmp_path, follow=True)
    begun = list(found.pieces(None))
    append(tmp_path, 3, 4)
    append(tmp_path, 5)
    rest = [*begun, *found.pieces(begun[-1].position)]
    for number, piece in enumerate(rest):
        left = [after.digest for after in found.pieces(piece.position)]
        assert left == [after.digest for after in rest[number + 1 :]]


def test_a_followed_table_may_not_change_rows(tmp_path: Path) -> None:
    append(tmp_path, 1, 2)
    found = source(tmp_path, follow=True)
    *_, last = found.pieces(None)
    DeltaTable(tmp_path).delete("n = 1")
    with pytest.raises(SourceError, match=r"version 1 of .* changes or removes rows, .*`follow: false`"):
        list(found.pieces(last.position))


def test_a_log_that_was_cleaned_up_is_told(tmp_path: Path) -> None:
    append(tmp_path, 1)
    found = source(tmp_path, follow=True)
    *_, last = found.pieces(None)
    append(tmp_path, 2)
    append(tmp_path, 3)
    DeltaTable(tmp_path).create_checkpoint()
    (tmp_path / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(SourceError, match="does not reach back to version 1, which source s has not"):
        list(found.pieces(last.position))


def test_what_is_no_table_or_empty_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source s has no table: .* is no Delta table"):
        source(tmp_path / "none").extent(None)
    append(tmp_path, 1)
    DeltaTable(tmp_path).delete()
    with pytest.raises(SourceError, match=r"source s has no rows: .* is empty"):
        list(source(tmp_path).pieces(None))
