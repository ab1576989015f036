from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import StorageError
from raypipe.data import holding as module
from raypipe.data.holding import hold
from raypipe.data.table import write_files

AT = datetime(2026, 1, 1, tzinfo=UTC)
INTEGERS = pa.schema([("x", pa.int64())])


def write(path: Path, stem: str, *numbers: object) -> str:
    (name,) = write_files(path, stem, pa.table({"x": list(numbers)}))
    return name


def rows(path: Path, version: int | None = None) -> list[object]:
    return sorted(DeltaTable(str(path), version=version).to_pyarrow_table()["x"].to_pylist(), key=repr)


def test_a_version_holds_exactly_its_files(tmp_path: Path) -> None:
    path = tmp_path / "t"
    a, b, c = (write(path, name, number) for number, name in enumerate("abc"))
    first = hold(path, INTEGERS, [a, b], id="d-1", at=AT)
    second = hold(path, INTEGERS, [b, c], id="d-2", at=AT)
    third = hold(path, INTEGERS, [a, b, c], id="d-3", at=AT)
    assert [rows(path, version) for version in (first, second, third)] == [[0, 1], [1, 2], [0, 1, 2]]


def test_files_that_stay_are_not_named_again(tmp_path: Path) -> None:
    path = tmp_path / "t"
    a, b = write(path, "a", 1), write(path, "b", 2)
    hold(path, INTEGERS, [a], id="d-1", at=AT)
    version = hold(path, INTEGERS, [a, b], id="d-2", at=AT)
    entry = (path / "_delta_log" / f"{version:020d}.json").read_text()
    note, added = [json.loads(line) for line in entry.splitlines()]
    assert note["commitInfo"]["dataVersion"] == "d-2" and added["add"]["path"] == b


def test_what_is_held_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "t"
    a = write(path, "a", 1)
    version = hold(path, INTEGERS, [a], id="d-1", at=AT)
    assert hold(path, INTEGERS, [a], id="d-1", at=AT) == version


def test_a_schema_changes_with_files_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "t"
    a, wide = write(path, "a", 1), write(path, "wide", 1.0)
    (other,) = write_files(path, "b", pa.table({"y": ["w"]}))
    first = hold(path, INTEGERS, [a], id="d-1", at=AT)
    columns = pa.schema([("x", pa.float64()), ("y", pa.string())])
    second = hold(path, columns, [wide, other], id="d-2", at=AT)
    assert rows(path, first) == [1]
    found = DeltaTable(str(path), version=second).to_pyarrow_table()
    assert found.sort_by("x").to_pylist() == [{"x": 1.0, "y": None}, {"x": None, "y": "w"}]


def test_old_versions_are_kept_for_years(tmp_path: Path) -> None:
    hold(tmp_path / "t", INTEGERS, [], id="d-1", at=AT)
    kept = DeltaTable(str(tmp_path / "t")).metadata().configuration
    assert set(kept.values()) == {"interval 3650 days"} and len(kept) == 2


def test_a_number_that_another_writer_took_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    a, b = write(path, "a", 1), write(path, "b", 2)
    before = hold(path, INTEGERS, [a], id="d-1", at=AT)
    real, taken = os.link, []

    def link(source: Path, entry: Path) -> None:
        if not taken:
            taken.append(entry)
            note = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "operationParameters": {}}}
            Path(entry).write_text(json.dumps(note) + "\n")
        real(source, entry)

    monkeypatch.setattr(os, "link", link)
    assert hold(path, INTEGERS, [a, b], id="d-2", at=AT) == before + 2
    assert rows(path) == [1, 2]
    assert not list((path / "_delta_log").glob("*.tmp"))


def test_a_table_written_all_the_time_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_entry", lambda *_: False)
    with pytest.raises(StorageError, match="written by another process all the time"):
        hold(tmp_path / "t", INTEGERS, [write(tmp_path / "t", "a", 1)], id="d-1", at=AT)


def test_checkpoints_are_written_and_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 4)
    path = tmp_path / "t"
    names = [write(path, f"f{number}", number) for number in range(9)]
    for number in range(9):
        hold(path, INTEGERS, names[: number + 1], id=f"d-{number}", at=AT)
    log = path / "_delta_log"
    assert len(list(log.glob("*.checkpoint.parquet"))) == 2
    for entry in sorted(log.glob("*.json"))[:8]:
        entry.unlink()
    assert rows(path) == list(range(9))


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=6))
def test_any_order_of_versions(tmp_path_factory: pytest.TempPathFactory, wanted: list[set[int]]) -> None:
    path = tmp_path_factory.mktemp("t") / "t"
    names = [write(path, f"f{number}", number) for number in range(6)]
    made = [hold(path, INTEGERS, [names[n] for n in sorted(one)], id="d", at=AT) for one in wanted]
    assert [rows(path, version) for version in made] == [sorted(one) for one in wanted]
