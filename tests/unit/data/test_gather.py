"""Only what is new is read: counted by sources that note what was read of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raypipe.core.errors import DataError, SchemaError
from raypipe.data.fragments import read_fragments, read_rows
from raypipe.data.versions import DataVersion
from raypipe.testing.data import Lake, SourceInMemory

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def rows(*numbers: float | None, y: int = 1) -> pa.Table:
    return pa.table({"x": list(numbers), "y": [y] * len(numbers)})


def x_of(lake: Lake, version: DataVersion) -> list[float | None]:
    found: list[float | None] = lake.rows(version)["x"].to_pylist()
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_only_new_pieces_are_read(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1), rows(2)])
    first = lake.ingest(source)
    source.tables.append(rows(3))
    second = lake.ingest(source)
    assert source.was_read == ["s 2"]
    assert [(one.n_read, one.n_known) for one in (first, second)] == [(2, 0), (1, 2)]
    assert second.fragments[:2] == first.fragments and second.parent == first.id
    assert (x_of(lake, first), x_of(lake, second)) == ([1, 2], [1, 2, 3])
    assert "s: 1 of 3 fragments read, 2 known" in lake.told


def test_an_appended_source_goes_on_after_the_last_position(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1), rows(1)], is_appended=True)
    first = lake.ingest(source)
    source.tables += [rows(1), rows(4)]
    second = lake.ingest(source)
    assert source.was_read == ["s 2", "s 3"]
    assert (x_of(lake, first), x_of(lake, second)) == ([1, 1], [1, 1, 1, 4])
    assert [one.position for one in second.fragments] == [1, 2, 3, 4]
    assert lake.ingest(source) == second


def test_the_id_of_an_appended_source_is_that_of_reading_it_at_once(tmp_path: Path) -> None:
    tables = [rows(number) for number in range(4)]
    in_steps, at_once = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    growing = SourceInMemory("s", is_appended=True)
    for table in tables:
        growing.tables.append(table)
        last = in_steps.ingest(growing)
    assert at_once.ingest(SourceInMemory("s", tables, is_appended=True)).id == last.id


def test_pieces_that_are_gone_leave_and_come_back_unread(lake: Lake) -> None:
    one, two = rows(1), rows(2)
    both = lake.ingest(SourceInMemory("s", [one, two]))
    without = lake.ingest(SourceInMemory("s", [two]))
    again = SourceInMemory("s", [two, one])
    turned = lake.ingest(again)
    assert again.was_read == []
    assert [x_of(lake, version) for version in (both, without, turned)] == [[1, 2], [2], [2, 1]]
    assert len({version.id for version in (both, without, turned)}) == 3
    assert lake.ingest(SourceInMemory("s", [one, two])) == both


def test_what_was_read_before_an_error_is_not_read_again(lake: Lake) -> None:
    stop = {"columns": {"x": {"max": 10, "on_violation": "stop"}}}
    source = SourceInMemory("s", [rows(1), rows(99)])
    with pytest.raises(DataError, match="1 rows break the rule that 'x' must be <= 10"):
        lake.ingest(source, contract=stop)
    source.tables[1] = rows(2)
    version = lake.ingest(source, contract=stop)
    assert source.was_read == ["s 1"]
    assert x_of(lake, version) == [1, 2]


def test_other_settings_give_other_rows(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1, 5), rows(2, 6)])
    lake.ingest(source)
    chosen = lake.ingest(source, where="x > 4")
    assert source.was_read == ["s 0", "s 1"]
    assert x_of(lake, chosen) == [5, 6]
    lake.ingest(source)
    assert source.was_read == []


def test_rows_that_were_removed_by_hand_are_read_again(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1), rows(2)])
    version = lake.ingest(source)
    (lake.folder.rows / version.fragments[0].files[0]).unlink()
    with pytest.raises(DataError, match="removed or damaged"):
        x_of(lake, version)
    source.tables.append(rows(3))
    assert x_of(lake, lake.ingest(source)) == [1, 2, 3]
    assert source.was_read == ["s 0", "s 2"]


def test_equal_pieces_stack(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows(1), rows(1)]), SourceInMemory("t", [rows(1)]))
    assert x_of(lake, version) == [1, 1, 1]
    assert len({one.id for one in version.fragments}) == 3


def test_a_piece_without_rows_to_keep_is_known_too(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1), rows(2)])
    lake.ingest(source, where="x > 1")
    version = lake.ingest(source, where="x > 1")
    assert source.was_read == []
    assert [(one.n_rows, one.n_kept, one.files) for one in version.fragments[:1]] == [(1, 0, ())]


def test_counts_and_times_are_kept_of_each_piece(lake: Lake) -> None:
    table = pa.table(
        {
            "x": [1.0, -1.0, 2.0, 3.0],
            "at": [NOON + timedelta(hours=hour) for hour in (3, 0, 1, 2)],
            "y": pa.array([1, 1, None, 0]),
        }
    )
    version = lake.ingest(SourceInMemory("s", [table]), time="at", contract={"columns": {"x": {"min": 0}}})
    (one,) = version.fragments
    assert (one.n_rows, one.n_kept, one.n_bad, one.n_unlabelled) == (4, 2, 1, 1)
    assert (one.since, one.until) == (NOON + timedelta(hours=2), NOON + timedelta(hours=3))
    assert [(rule.rule, rule.n_rows) for rule in version.broken] == [("must be >= 0", 1)]


def test_integers_become_numbers_beside_numbers_and_go_back_without(lake: Lake) -> None:
    whole, half = rows(1, 2), rows(0.5)
    source = SourceInMemory("s", [whole])
    first = lake.ingest(source)
    source.tables.append(half)
    second = lake.ingest(source)
    assert source.was_read == ["s 1"]
    assert [column.kind for column in first.columns] == ["integer", "integer"]
    assert [column.kind for column in second.columns] == ["number", "integer"]
    assert (x_of(lake, first), x_of(lake, second)) == ([1, 2], [1.0, 2.0, 0.5])
    assert read_rows(lake.folder, second).schema.field("x").type == pa.float64()
    del source.tables[1]
    assert lake.ingest(source) == first
    alone = Lake(lake.folder.root / "alone").ingest(SourceInMemory("s", [whole, half]))
    assert alone.id == second.id and alone.columns == second.columns


def test_a_column_without_values_takes_the_type_of_the_others(lake: Lake) -> None:
    empty = pa.table({"x": pa.nulls(2), "y": [1, 0]})
    source = SourceInMemory("s", [empty])
    first = lake.ingest(source, contract={"columns": {"x": {"min": 0}}})
    assert [column.kind for column in first.columns] == ["category", "integer"]
    source.tables.append(rows(0.5))
    second = lake.ingest(source, contract={"columns": {"x": {"min": 0}}})
    assert source.was_read == ["s 1"]
    assert [column.kind for column in second.columns] == ["number", "integer"]
    assert x_of(lake, second) == [None, None, 0.5]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pa.table({"x": ["one"], "y": [1]}), "column 'x' of s 1 is string, but in s 0 it is int64"),
        (pa.table({"y": [1]}), "s 1 lacks the column 'x' of s 0"),
        (pa.table({"x": [1], "y": [1], "z": [1]}), "s 1 has the column 'z', which s 0 lacks"),
        (pa.table({"x": [1], "X": [1], "y": [1]}), "s 1 has two columns named 'x' and 'X'"),
        (pa.table({"_source": [1], "y": [1]}), "'_source' of s 1 has a name that raypipe keeps"),
        (pa.table({"x": [[1]], "y": [1]}), "column 'x' of s 1 is of type list.*name it in `drop`"),
        (pa.table({"x": pa.array([2**64 - 1], pa.uint64()), "y": [1]}), "'x' of s 1 cannot be read as int64"),
    ],
)
def test_a_piece_that_does_not_fit_is_named(lake: Lake, table: pa.Table, sentence: str) -> None:
    lake.ingest(SourceInMemory("s", [rows(1)]))
    with pytest.raises(SchemaError, match=sentence):
        lake.ingest(SourceInMemory("s", [rows(1), table]))
    assert len(lake.versions.all()) == 1


def test_records_of_a_stream_need_not_all_have_the_same_fields(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1), pa.table({"y": [1], "z": ["a"]})], is_appended=True)
    version = lake.ingest(source, where="x IS NULL OR x < 9")
    assert [(one.name, one.nullable) for one in version.columns] == [("x", True), ("y", False), ("z", True)]
    assert read_rows(lake.folder, version).to_pylist() == [
        {"x": 1, "y": 1, "z": None},
        {"x": None, "y": 1, "z": "a"},
    ]


def test_rows_come_fragment_by_fragment(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [rows(1, 2), rows(0.5)]))
    found = [(one.path, table["x"].to_pylist()) for one, table in read_fragments(lake.folder, version)]
    assert found == [("s 0", [1.0, 2.0]), ("s 1", [0.5])]


class Steps:
    """What a source may hold over time: each step is the list of its tables."""

    tables = st.lists(st.sampled_from([rows(1), rows(2, 3), rows(0.5), rows(None, 4)]), max_size=4)


@examples(max_examples=20)
@given(steps=st.lists(Steps.tables.filter(bool), min_size=1, max_size=4))
def test_any_history_gives_the_rows_and_the_id_of_reading_everything_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[Sequence[pa.Table]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for tables in steps:
        version = lake.ingest(SourceInMemory("s", tables))
        anew = Lake(tmp_path_factory.mktemp("anew"))
        fresh = anew.ingest(SourceInMemory("s", tables))
        assert (version.id, version.columns, version.n_rows) == (fresh.id, fresh.columns, fresh.n_rows)
        assert read_rows(lake.folder, version) == read_rows(anew.folder, fresh)
