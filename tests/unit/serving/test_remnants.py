"""What a model's folder holds of given rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.data.erasure.rows import Theirs
from raypipe.serving.golden import as_sent
from raypipe.serving.remnants import files_with

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROW = {"amount": 12.5, "size": 3, "seen": AT, "kept": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [as_sent({**ROW, "size": size}) for size in (1, 3)]
    (tmp_path / "golden.json").write_text(json.dumps({"rows": rows, "answers": [0.1, 0.2]}))
    return tmp_path


def theirs(*rows: dict[str, object], texts: tuple[str, ...] = ()) -> Theirs:
    schema = pa.schema([("amount", pa.float64()), ("size", pa.int64()), ("seen", pa.timestamp("us", "UTC"))])
    table = pa.Table.from_pylist([*rows], schema=schema.append(pa.field("kept", pa.string())))
    return Theirs(table.append_column("mail", pa.array(["m"] * len(rows), pa.string())), frozenset(texts))


def test_a_golden_row_is_known_by_the_columns_that_it_has(folder: Path) -> None:
    assert files_with(folder, theirs(ROW)) == ("golden.json",)
    assert files_with(folder, theirs({**ROW, "size": 4}, {**ROW, "amount": 1.0})) == ()
    assert files_with(folder, theirs()) == ()


@pytest.mark.parametrize(("text", "found"), [("Zoë Q", True), ("ab", True), ("b", False), ("Zoë", True)])
def test_a_text_is_found_as_json_spells_it_or_whole(folder: Path, text: str, found: bool) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "transform.json").write_text(json.dumps(["Zoë Q", "ab"]))
    (folder / "means.arrow").write_bytes(b"\0\0Zo\xc3\xab Q\0")
    names = files_with(folder, theirs(texts=(text,)))
    assert ("model/transform.json" in names) == (text in ("Zoë Q", "ab"))
    assert bool(names) == found


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert files_with(tmp_path / "v9", theirs(ROW, texts=("a text",))) == ()
