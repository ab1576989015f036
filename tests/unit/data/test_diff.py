"""Two data versions beside each other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError
from raypipe.data.diff import VersionDiff, column_changes, diff
from raypipe.data.row_differences import row_differences
from raypipe.data.schema import Column
from raypipe.data.versions import DataVersion
from raypipe.testing.data import Lake, SourceInMemory


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def people(*rows: tuple[int, float | None]) -> pa.Table:
    ids, x = [id for id, _ in rows], [x for _, x in rows]
    return pa.table({"id": ids, "x": pa.array(x, pa.float64()), "y": [1] * len(ids)})


def counted(found: VersionDiff) -> tuple[int, int, int, int | None]:
    rows = found.rows
    return rows.n_equal, rows.n_added, rows.n_removed, rows.n_changed


def test_shared_fragments_are_not_read(lake: Lake) -> None:
    source = SourceInMemory("s", [people((1, 1.0), (2, 2.0))])
    first = lake.ingest(source)
    source.tables.append(people((3, 3.0)))
    second = lake.ingest(source)
    for name in first.fragments[0].files:
        (lake.folder.rows / name).rename(lake.folder.root / name)
    found = diff(lake.folder, first, second)
    assert counted(found) == (2, 1, 0, None)
    assert found.rows.n_in_shared_fragments == 2
    assert found.columns == ()


def test_a_key_tells_changed_rows(lake: Lake) -> None:
    first = lake.ingest(SourceInMemory("s", [people((1, 1.0), (2, 2.0), (3, 3.0))]))
    second = lake.ingest(SourceInMemory("s", [people((3, None), (4, 4.0), (1, 1.0))]))
    assert counted(diff(lake.folder, first, second)) == (1, 2, 2, None)
    assert counted(diff(lake.folder, first, second, key=["id"])) == (1, 1, 1, 1)
    assert counted(diff(lake.folder, second, first, key=["id"])) == (1, 1, 1, 1)


def test_a_key_that_is_no_column_of_both_is_refused(lake: Lake) -> None:
    version = lake.ingest(SourceInMemory("s", [people((1, 1.0))]))
    with pytest.raises(ConfigError, match=r"the key must name columns that both versions have\. Got 'idd'"):
        diff(lake.folder, version, version, key=["idd"])


def test_columns_that_differ_are_told_and_rows_compared_in_the_others(lake: Lake) -> None:
    first = lake.ingest(SourceInMemory("s", [pa.table({"a": [1, 2], "b": ["u", "v"], "y": [1, 0]})]))
    second = lake.ingest(SourceInMemory("s", [pa.table({"a": [1.0, None], "c": ["u", "v"], "y": [1, 0]})]))
    found = diff(lake.folder, first, second)
    assert [(one.column, one.before, one.after) for one in found.columns] == [
        ("a", Column("a", "integer", False), Column("a", "number", True)),
        ("b", Column("b", "category", False), None),
        ("c", None, Column("c", "category", False)),
    ]
    assert found.rows.compared == ("a", "y")
    assert counted(found) == (1, 1, 1, None)


def test_the_shift_of_each_column_is_told(lake: Lake) -> None:
    first = lake.ingest(SourceInMemory("s", [people(*((n, float(n % 10)) for n in range(100)))]))
    second = lake.ingest(SourceInMemory("s", [people(*((n, None if n % 2 else 50.0) for n in range(100)))]))
    shift = next(one for one in diff(lake.folder, first, second).shifts if one.column == "x")
    assert shift.missing_ratio == (0.0, 0.5)
    assert shift.mean == (4.5, 50.0)
    assert shift.quantiles["0.5"] == (4.0, 50.0)
    assert shift.psi is not None and shift.psi > 0.25
    same = next(one for one in diff(lake.folder, first, first).shifts if one.column == "x")
    assert (same.psi, same.mean) == (0.0, (4.5, 4.5))


def test_columns_alike_but_for_the_order_do_not_differ() -> None:
    a, b = Column("a", "integer", False), Column("b", "number", True)
    assert column_changes([a, b], [b, a]) == ()


rows = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0.0, -0.0, 1.5])), max_size=12)


@examples(max_examples=25)
@given(before=rows.filter(bool), after=rows.filter(bool), n_cuts=st.integers(1, 3), key=st.booleans())
def test_any_two_versions_however_cut(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[int, float | None]],
    after: list[tuple[int, float | None]],
    n_cuts: int,
    key: bool,
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    first = lake.ingest(SourceInMemory("s", [people(*before)]))
    second = lake.ingest(SourceInMemory("s", cut(after, n_cuts)))
    found = row_differences(
        lake.folder, first, second, columns(first), key=["id"] if key else [], part_rows=4
    )
    a, b = Counter(before), Counter(after)
    equal, lost, new = a & b, a - b, b - a
    n_changed = 0
    if key:
        lost_ids, new_ids = (Counter(id for id, _ in side.elements()) for side in (lost, new))
        n_changed = (lost_ids & new_ids).total()
    assert found.n_equal == equal.total()
    assert (found.n_added, found.n_removed) == (new.total() - n_changed, lost.total() - n_changed)
    assert found.n_changed == (n_changed if key else None)
    assert not list(lake.folder.rows.parent.glob(".diff-*"))


def cut(rows: list[tuple[int, float | None]], n: int) -> list[pa.Table]:
    parts = [rows[start::n] for start in range(n)]
    return [people(*part) for part in parts if part]


def columns(version: DataVersion) -> tuple[Column, ...]:
    return version.columns
