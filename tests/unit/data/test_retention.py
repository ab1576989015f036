"""Which data versions go, and that a kill in between leaves nothing half there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raypipe.core.errors import DataError
from raypipe.data.config import RetentionSettings
from raypipe.data.retention import REMOVED, Collected, collect_garbage, reasons
from raypipe.data.versions import DataVersion, readable
from raypipe.testing import FakeClock
from raypipe.testing.data import Lake, SourceInMemory

NOW = FakeClock().now()
LAST = RetentionSettings(keep_last=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def rows(*numbers: int) -> pa.Table:
    return pa.table({"x": list(numbers), "y": [1] * len(numbers)})


def grown(lake: Lake, n: int = 3) -> list[DataVersion]:
    """Return versions, oldest first, of which each shares but its first piece with the one before."""
    made = []
    for first in range(n):
        made.append(lake.ingest(SourceInMemory("s", [rows(number) for number in (first, first + 1)])))
        lake.clock.advance(24 * 3600)
    return made


def collect(
    lake: Lake,
    settings: RetentionSettings = LAST,
    pins: Mapping[str, str] | None = None,
    *,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Collected:
    return collect_garbage(
        lake.folder,
        lake.versions,
        settings,
        lambda: pins or {},
        clock=lake.clock,
        dry_run=dry_run,
        on_step=on_step,
    )


def stored(lake: Lake) -> set[str]:
    return {path.name for path in lake.folder.root.rglob("*.parquet") if "_delta_log" not in path.parts}


def named(lake: Lake) -> set[str]:
    return {name for one in lake.versions.fragments() for name in (*one.files, *one.quarantine)}


def version(id: str, days: float) -> DataVersion:
    return DataVersion(id, None, 0, (), (), 1, (), 0, (), NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("settings", "stay"),
    [
        ({}, ["d-0", "d-1", "d-2", "d-3"]),
        ({"keep_last": 1}, ["d-0", "d-3"]),
        ({"keep_last": 2}, ["d-0", "d-1", "d-3"]),
        ({"keep_days": 2.5}, ["d-0", "d-1", "d-2", "d-3"]),
        ({"keep_days": 1.5}, ["d-0", "d-1", "d-3"]),
        ({"keep_last": 1, "keep_days": 0.5}, ["d-0", "d-3"]),
    ],
)
def test_a_version_stays_by_either_rule_a_pin_or_as_the_newest(
    settings: dict[str, float], stay: Sequence[str]
) -> None:
    history = [version(f"d-{days}", days) for days in range(4)]
    found = reasons(history, RetentionSettings.model_validate(settings), {"d-3": "v1 was trained on it"}, NOW)
    assert list(found) == list(stay)
    assert (found["d-0"], found["d-3"]) == ("it is the newest", "v1 was trained on it")


def test_everything_is_kept_by_default(lake: Lake) -> None:
    versions = grown(lake)
    before = stored(lake)
    found = collect(lake, RetentionSettings())
    assert (found.removed, found.n_files, found.n_bytes) == ((), 0, 0)
    assert stored(lake) == before and lake.versions.changes == []
    assert [lake.rows(one).num_rows for one in versions] == [2, 2, 2]


def test_what_a_kept_version_shares_stays(lake: Lake) -> None:
    first, second, third = grown(lake)
    n_bytes = (lake.folder.rows / first.fragments[0].files[0]).stat().st_size
    found = collect(lake, pins={second.id: "v1 was trained on it"})
    assert found.removed == (first.id,)
    assert found.n_bytes >= n_bytes
    assert stored(lake) == named(lake)
    assert [lake.rows(one)["x"].to_pylist() for one in (second, third)] == [[1, 2], [2, 3]]
    gone = lake.versions.all()[-1]
    assert (gone.id, gone.state, gone.n_rows, gone.fragments) == (first.id, "removed", 2, ())
    with pytest.raises(DataError, match=f"{first.id} was removed on"):
        readable(lake.versions.all(), first.id)
    (change,) = lake.versions.changes
    assert (change.kind, change.subject) == (REMOVED, first.id)


def test_a_dry_run_tells_the_same_and_removes_nothing(lake: Lake) -> None:
    grown(lake)
    before = stored(lake)
    told = collect(lake, dry_run=True)
    assert stored(lake) == before and lake.versions.changes == []
    done = collect(lake)
    assert (told.removed, told.n_files, told.n_bytes) == (done.removed, done.n_files, done.n_bytes)
    assert done.n_bytes > 0
    assert collect(lake).n_files == 0


def test_profiles_and_quarantined_rows_go_with_their_version(lake: Lake) -> None:
    rules = {"columns": {"x": {"max": 10}}, "max_bad_ratio": 1}
    lake.ingest(SourceInMemory("s", [rows(1, 99)]), contract=rules)
    lake.ingest(SourceInMemory("s", [rows(2, 98)]), contract=rules)
    collect(lake)
    assert len(list(lake.folder.quarantine.glob("*.parquet"))) == 1
    assert len(list(lake.folder.root.glob("profiles/*.json.gz"))) == 1


def test_a_removed_version_whose_pieces_come_back_is_made_again(lake: Lake) -> None:
    first, _, _ = grown(lake)
    collect(lake)
    source = SourceInMemory("s", [rows(0), rows(1)])
    again = lake.ingest(source)
    assert source.was_read == ["s 0", "s 1"]
    assert (again.id, again.removed_at) == (first.id, None)
    assert lake.rows(lake.versions.all()[0])["x"].to_pylist() == [0, 1]


def test_what_was_read_for_no_version_yet_stays(lake: Lake) -> None:
    lake.ingest(SourceInMemory("s", [rows(1)]))
    lake.clock.advance(1)
    source = SourceInMemory("s", [rows(1), rows(2), rows(99)])
    stop = {"columns": {"x": {"max": 10, "on_violation": "stop"}}}
    with pytest.raises(DataError, match="1 rows break"):
        lake.ingest(source, contract=stop)
    collect(lake)
    source.tables.pop()
    lake.ingest(source, contract=stop)
    assert source.was_read == []


def test_the_newest_delta_version_opens_after_all_that(lake: Lake) -> None:
    _, _, third = grown(lake)
    collect(lake)
    table = DeltaTable(str(lake.folder.rows), version=third.table_version)
    assert sorted(table.to_pyarrow_table()["x"].to_pylist()) == [2, 3]
    assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 3650 days"


class Killed(BaseException):
    """The process is gone."""


@examples(max_examples=15)
@given(at=st.integers(0, 12), keep=st.integers(1, 3))
def test_killed_anywhere_a_later_gc_finishes(
    tmp_path_factory: pytest.TempPathFactory, at: int, keep: int
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    grown(lake, 4)
    settings = RetentionSettings(keep_last=keep)
    steps = 0

    def on_step(_: str) -> None:
        nonlocal steps
        steps += 1
        if steps > at:
            raise Killed

    with suppress(Killed):
        collect(lake, settings, on_step=on_step)
    for one in lake.versions.all():
        if one.removed_at is None:
            assert lake.rows(one).num_rows == one.n_rows
    collect(lake, settings)
    assert stored(lake) == named(lake)
    assert sum(one.removed_at is None for one in lake.versions.all()) == keep
