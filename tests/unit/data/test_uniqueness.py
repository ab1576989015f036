"""Rows that repeat others are left out of a version: one piece or many, at once or over time."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import raypipe.data.keys as keys
from raypipe.core.errors import ConfigError, ContractError
from raypipe.data.config import RetentionSettings
from raypipe.data.erasure.erase import erase
from raypipe.data.erasure.people import key_of
from raypipe.data.fragments import read_quarantine
from raypipe.data.keys import key_files
from raypipe.data.retention import collect_garbage
from raypipe.data.table import write_files
from raypipe.data.versions import DataVersion
from raypipe.testing.data import Lake, SourceInMemory

NAN = float("nan")


def rows(*ids: Any, y: int = 1, x: int = 0) -> pa.Table:
    return pa.table({"id": list(ids), "x": [x] * len(ids), "y": [y] * len(ids)})


def unique(*by: str, on_violation: str = "quarantine", **more: Any) -> dict[str, Any]:
    return {"unique": [{"by": list(by), "on_violation": on_violation}], "max_bad_ratio": 1.0, **more}


def ids_of(lake: Lake, version: DataVersion) -> list[Any]:
    found: list[Any] = lake.rows(version)["id"].to_pylist()
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.mark.parametrize("action", ["drop", "quarantine"])
def test_the_first_row_of_a_key_stays(lake: Lake, action: str) -> None:
    source = SourceInMemory("s", [rows(1, 2, 1), rows(2, 3), rows(4)])
    version = lake.ingest(source, contract=unique("id", on_violation=action))
    assert ids_of(lake, version) == [1, 2, 3, 4]
    assert [(one.rule, one.column, one.action, one.n_rows) for one in version.broken] == [
        ("must be unique", "id", action, 2)
    ]
    assert [(one.n_rows, one.n_kept, one.n_bad) for one in version.fragments] == [
        (3, 2, 1),
        (2, 1, 1),
        (1, 1, 0),
    ]
    aside = read_quarantine(lake.folder, version).to_pylist()
    assert [(one["piece"], one["value"]) for one in aside] == (
        [("s 0", "1"), ("s 1", "2")] if action == "quarantine" else []
    )
    assert all(json.loads(one["row"]).keys() == {"id", "x", "y"} for one in aside)


def test_a_repeat_may_stop_the_batch_and_nothing_is_left(lake: Lake) -> None:
    contract = unique("id", on_violation="stop")
    first = lake.ingest(SourceInMemory("s", [rows(1)]), contract=contract)
    files = sorted(path.name for path in lake.folder.rows.parent.rglob("*.*") if ".lock" not in path.name)
    with pytest.raises(
        ContractError, match="1 rows break the rule that 'id' must be unique, the first with 1;"
    ):
        lake.ingest(SourceInMemory("s", [rows(1), rows(2, 1)]), contract=contract)
    assert [one.id for one in lake.versions.fragments()] == [one.id for one in first.fragments]
    assert files == sorted(
        path.name for path in lake.folder.rows.parent.rglob("*.*") if ".lock" not in path.name
    )
    mended = lake.ingest(SourceInMemory("s", [rows(1), rows(2)]), contract=contract)
    assert ids_of(lake, mended) == [1, 2]


def test_an_appended_source_that_was_refused_is_read_again(lake: Lake) -> None:
    contract = unique("id", on_violation="stop")
    source = SourceInMemory("s", [rows(1), rows(1)], is_appended=True)
    with pytest.raises(ContractError):
        lake.ingest(source, contract=contract)
    source.tables[1] = rows(2)
    assert ids_of(lake, lake.ingest(source, contract=contract)) == [1, 2]


@pytest.mark.parametrize("is_appended", [False, True])
def test_keys_of_earlier_ingests_are_known(lake: Lake, is_appended: bool) -> None:
    contract = unique("id")
    source = SourceInMemory("s", [rows(1, 2)], is_appended=is_appended)
    lake.ingest(source, contract=contract)
    source.tables.append(rows(2, 3))
    second = lake.ingest(source, contract=contract)
    assert source.was_read == ["s 1"]
    source.tables.append(rows(3, 4, 1))
    third = lake.ingest(source, contract=contract)
    assert source.was_read == ["s 2"]
    assert (ids_of(lake, second), ids_of(lake, third)) == ([1, 2, 3], [1, 2, 3, 4])
    assert lake.ingest(source, contract=contract) == third


def test_a_row_comes_back_when_the_one_before_it_is_gone(lake: Lake) -> None:
    contract = unique("id")
    lake.ingest(SourceInMemory("s", [rows(1, x=5), rows(1, 2, x=6)]), contract=contract)
    alone = SourceInMemory("s", [rows(1, 2, x=6)])
    version = lake.ingest(alone, contract=contract)
    assert alone.was_read == []
    assert lake.rows(version)["x"].to_pylist() == [6, 6]
    assert not version.broken


def test_only_new_fragments_are_looked_up(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[int] = []
    repeated = keys.Run.repeated
    monkeypatch.setattr(keys.Run, "repeated", lambda run: looked_up.append(len(run)) or repeated(run))
    source = SourceInMemory("s", [rows(1, 2), rows(2)])
    lake.ingest(source, contract=unique("id"))
    source.tables.append(rows(7, 8, 9))
    lake.ingest(source, contract=unique("id"))
    assert looked_up == [2, 1, 3]


def test_missing_parts_of_a_key_repeat_nothing(lake: Lake) -> None:
    table = pa.table(
        {"a": [1.0, None, None, NAN, NAN, 1.0], "b": ["x", "x", "x", "x", "x", "x"], "y": [1] * 6}
    )
    version = lake.ingest(SourceInMemory("s", [table]), contract=unique("a", "b"))
    assert version.n_rows == 5
    assert read_quarantine(lake.folder, version)["value"].to_pylist() == ["a 1.0, b x"]


def test_minus_zero_is_zero_and_an_integer_is_the_number(lake: Lake) -> None:
    tables = [pa.table({"a": [0.0, 5.0], "y": [1, 1]}), pa.table({"a": [-0.0, 5.5], "y": [1, 1]})]
    version = lake.ingest(
        SourceInMemory("s", [*tables, pa.table({"a": [5], "y": [1]})]), contract=unique("a")
    )
    assert lake.rows(version)["a"].to_pylist() == [0.0, 5.0, 5.5]


def test_two_rules_each_leave_out(lake: Lake) -> None:
    table = pa.table({"id": [1, 1, 2], "mail": ["a", "b", "a"], "y": [1, 1, 1]})
    rules = [{"by": "id", "on_violation": "drop"}, {"by": "mail"}]
    version = lake.ingest(SourceInMemory("s", [table]), contract={"unique": rules, "max_bad_ratio": 1})
    assert lake.rows(version)["mail"].to_pylist() == ["a"]
    assert [(one.column, one.action, one.n_rows) for one in version.broken] == [
        ("id", "drop", 1),
        ("mail", "quarantine", 1),
    ]


def test_the_rule_is_part_of_what_a_version_is(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1, 1)])
    with_repeats = lake.ingest(source)
    without = lake.ingest(source, contract=unique("id"))
    assert source.was_read == [], "rows are read once, whatever repeats"
    assert (ids_of(lake, with_repeats), ids_of(lake, without)) == ([1, 1], [1])


def test_a_key_must_be_columns(lake: Lake) -> None:
    with pytest.raises(
        ConfigError, match=r"data.contract.unique\[0\] names 'idd', which is no column; did you"
    ):
        lake.ingest(SourceInMemory("s", [rows(1)]), contract=unique("idd"))


@pytest.mark.parametrize("lost", ["runs", "settled", "salt", "all"])
def test_lost_keys_are_made_anew(lake: Lake, lost: str) -> None:
    source = SourceInMemory("s", [rows(1, 2), rows(2, 3)])
    lake.ingest(source, contract=unique("id"))
    for path in lake.folder.keys.rglob("*"):
        kind = {".run": "runs", ".json": "settled", "": "salt"}[path.suffix]
        if path.is_file() and lost in (kind, "all"):
            path.unlink()
    source.tables.append(rows(3, 4, 1))
    assert ids_of(lake, lake.ingest(source, contract=unique("id"))) == [1, 2, 3, 4]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(14))
@pytest.mark.parametrize("is_appended", [False, True])
def test_an_ingest_that_was_killed_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_appended: bool, step: int
) -> None:
    tables = [rows(1, 2, 1), rows(2, 3), rows(3, 4)]
    contract, left = unique("id"), [step]
    undisturbed = Lake(tmp_path / "a").ingest(
        SourceInMemory("s", tables, is_appended=is_appended), contract=contract
    )
    lake = Lake(tmp_path / "b")
    source = SourceInMemory("s", tables[:1], is_appended=is_appended)
    lake.ingest(source, contract=contract)
    source.tables.extend(tables[1:])

    def dying(function: Any) -> Any:
        def called(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **more)

        return called

    with monkeypatch.context() as patched:
        patched.setattr(
            "raypipe.core.files.LocalDisk.write_atomic", dying(keys.LOCAL_DISK.__class__.write_atomic)
        )
        patched.setattr("raypipe.data.fragments.write_files", dying(write_files))
        patched.setattr(lake.versions, "keep", dying(lake.versions.keep))
        with contextlib.suppress(Killed):
            lake.ingest(source, contract=contract)
    version = lake.ingest(source, contract=contract)
    assert version.id == undisturbed.id
    assert ids_of(lake, version) == [1, 2, 3, 4]
    assert version.broken == undisturbed.broken


def test_garbage_collection_keeps_what_copies_were_made_of(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1, 2), rows(2, 3), rows(1, 5)])
    lake.ingest(source, contract=unique("id"))
    lake.clock.advance(1)
    source.tables.pop()
    version = lake.ingest(source, contract=unique("id"))
    collect_garbage(lake.folder, lake.versions, RetentionSettings(keep_last=1), dict, clock=lake.clock)
    assert ids_of(lake, version) == [1, 2, 3]
    of = {path.name.rsplit("-", 1)[0] for path in lake.folder.keys.rglob("*.run")}
    assert len(of) == 2, "keys of removed rows go"
    source.tables.append(rows(3, 4))
    grown = lake.ingest(source, contract=unique("id"))
    assert source.was_read == ["s 2"]
    assert ids_of(lake, grown) == [1, 2, 3, 4]


def test_many_small_fragments_are_merged_without_their_repeats(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(number // 2) for number in range(140)], is_appended=True)
    contract = unique("id")
    version = lake.ingest(source, contract=contract)
    assert ids_of(lake, version) == list(range(70))
    assert len(version.fragments) < 70
    source.tables.append(rows(3, 70))
    grown = lake.ingest(source, contract=contract)
    assert (source.was_read, ids_of(lake, grown)) == (["s 140"], list(range(71)))
    assert sum(one.n_rows for one in grown.broken) == 71


def test_keys_of_a_fragment_can_be_deleted(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows(1), rows(2)]), contract=unique("id"))
    first, second = lake.versions.fragments()
    (file,) = key_files(lake.folder, [first])
    file.unlink()
    assert not key_files(lake.folder, [first]) and len(key_files(lake.folder, [second])) == 1


def test_keys_of_erased_people_go_with_their_rows(lake: Lake) -> None:
    source = SourceInMemory("s", [rows("a", "ann"), rows("ann", "c"), rows("d")])
    version = lake.ingest(source, contract=unique("id"))
    before = {path.name: path.read_bytes() for path in lake.folder.keys.rglob("*.run")}
    erased = erase(
        lake.folder,
        lake.versions,
        [key_of("id=ann")],
        reason="asked",
        secret="s" * 64,
        inspect=lambda _, __: {},
        clock=lake.clock,
    )
    assert erased.counts.versions == {version.id: 1}
    left = {path.name: path.read_bytes() for path in lake.folder.keys.rglob("*.run")}
    assert left.items() < before.items() and len(left) == 1, "only those of the piece without ann"
    version = lake.versions.all()[0]
    assert (ids_of(lake, version), read_quarantine(lake.folder, version).num_rows) == (["a", "c", "d"], 0)
    source.tables.append(rows("ann", "c", "e"))
    grown = lake.ingest(source, contract=unique("id"))
    assert source.was_read == ["s 3"]
    assert ids_of(lake, grown) == ["a", "c", "d", "e"]


def test_digests_do_not_tell_the_key_without_the_salt(tmp_path: Path) -> None:
    one, other = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    for lake in (one, other):
        lake.ingest(SourceInMemory("s", [rows("ann")]), contract=unique("id"))
    (mine,), (theirs,) = (list(lake.folder.keys.rglob("*.run")) for lake in (one, other))
    assert mine.read_bytes() != theirs.read_bytes()
    assert (one.folder.keys / "salt").stat().st_mode & 0o077 == 0


@examples(max_examples=40, deadline=None)
@given(
    pieces=st.lists(
        st.lists(st.sampled_from([None, 0, 1, 2, 3, 4, 5, 6]), max_size=9), min_size=1, max_size=5
    ),
    cuts=st.lists(st.integers(0, 4), max_size=3),
    run_rows=st.integers(1, 4),
)
def test_the_rows_are_those_of_a_set_of_seen_keys(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[int | None]], cuts: list[int], run_rows: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    tables = [
        pa.table({"id": pa.array([-1 - number, *piece], pa.int64()), "y": [1] * (1 + len(piece))})
        for number, piece in enumerate(pieces)
    ]
    seen: set[int] = set()
    expected: list[int | None] = []
    for id in (id for table in tables for id in table["id"].to_pylist()):
        if id is None or id not in seen:
            expected.append(id)
            seen.add(id)
    source = SourceInMemory("s", is_appended=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys, "RUN_ROWS", run_rows)
        for cut in [*sorted(cuts), len(tables)]:
            source.tables = tables[: max(1, cut)]
            version = lake.ingest(source, contract=unique("id"))
    assert ids_of(lake, version) == expected
