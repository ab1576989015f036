from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raypipe.core.home import Home, PipelineHome
from raypipe.data import ingest as module
from raypipe.data.compaction import compacted
from raypipe.data.config import DataSettings
from raypipe.data.fragments import read_quarantine, read_rows
from raypipe.data.ingest import ingest
from raypipe.data.profile import Profile
from raypipe.data.profiles import version_profile
from raypipe.data.versions import DataVersion
from raypipe.testing import FakeClock
from raypipe.testing.data import SourceInMemory, VersionsInMemory, feeds_in_memory

SETTINGS = DataSettings.model_validate(
    {
        "sources": [{"name": "unused", "format": "csv", "path": "nowhere"}],
        "label": "y",
        "contract": {"columns": {"x": {"max": 100}}, "max_bad_ratio": 1},
    }
)


def rows(*numbers: float | None) -> pa.Table:
    return pa.table({"x": list(numbers), "y": [1] * len(numbers)})


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge from the fourth neighbour on, to fragments of five rows."""

    def few(folder: PipelineHome, fragments: Sequence[Any]) -> list[Any]:
        return compacted(folder, fragments, n_small=3, small_rows=5)

    monkeypatch.setattr(module, "compacted", few)


def collect(folder: PipelineHome, versions: VersionsInMemory, *sources: SourceInMemory) -> DataVersion:
    feeds = feeds_in_memory(SETTINGS, *sources)
    return ingest(SETTINGS, folder, versions, clock=FakeClock(), feeds=feeds)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("is_appended", [True, False])
def test_fragments_stay_few_and_rows_as_they_were(folder: PipelineHome, is_appended: bool) -> None:
    source, versions = SourceInMemory("s", is_appended=is_appended), VersionsInMemory()
    made = []
    for number in range(30):
        source.tables.append(rows(number, 1000 + number))
        made.append(collect(folder, versions, source))
    assert source.was_read == [f"s {number}" for number in range(30)]
    assert max(len(version.fragments) for version in made) <= 30 // 5 + 3
    for number, version in enumerate(made):
        assert read_rows(folder, version)["x"].to_pylist() == list(range(number + 1))
        assert read_quarantine(folder, version).num_rows == number + 1
        assert (version.n_rows, version.broken[0].n_rows) == (number + 1, number + 1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("is_appended", [True, False])
def test_the_id_says_nothing_of_how_pieces_were_merged(
    tmp_path: Path, folder: PipelineHome, is_appended: bool
) -> None:
    tables = [rows(number) for number in range(9)]
    source, versions = SourceInMemory("s", is_appended=is_appended), VersionsInMemory()
    for table in tables:
        source.tables.append(table)
        last = collect(folder, versions, source)
    alone = Home(tmp_path / "alone").pipeline("p")
    at_once = collect(alone, VersionsInMemory(), SourceInMemory("s", tables, is_appended=is_appended))
    assert at_once.id == last.id
    assert read_rows(alone, at_once) == read_rows(folder, last)


@pytest.mark.usefixtures("small")
def test_a_piece_that_changes_among_merged_ones_is_the_only_one_read(folder: PipelineHome) -> None:
    source, versions = SourceInMemory("s", [rows(number) for number in range(6)]), VersionsInMemory()
    first = collect(folder, versions, source)
    assert len(first.fragments) < 6
    source.tables[2] = rows(50)
    source.was_read.clear()
    second = collect(folder, versions, source)
    assert source.was_read == ["s 2"]
    assert read_rows(folder, second)["x"].to_pylist() == [0, 1, 50, 3, 4, 5]
    assert read_rows(folder, first)["x"].to_pylist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.usefixtures("small")
@examples(max_examples=20)
@given(
    tables=st.lists(
        st.sampled_from([rows(1), rows(2, 3), rows(0.5), rows(None), rows(500), rows(None, 4)]), max_size=12
    ).filter(lambda tables: any(table["x"].to_pylist() != [500] for table in tables)),
    more=st.lists(st.sampled_from([rows(7), rows(0.25), rows(None)]), max_size=3),
)
def test_merged_fragments_are_what_their_members_were(
    tmp_path_factory: pytest.TempPathFactory, tables: list[pa.Table], more: list[pa.Table]
) -> None:
    folder, versions = Home(tmp_path_factory.mktemp("c")).pipeline("p"), VersionsInMemory()
    collect(folder, versions, SourceInMemory("s", tables))
    version = collect(folder, versions, SourceInMemory("s", [*tables, *more]))
    found = read_rows(folder, version)
    expected = [x for table in [*tables, *more] for x in table["x"].to_pylist() if x is None or x <= 100]
    assert found["x"].to_pylist() == expected
    assert version_profile(folder, version) == Profile.of_table(found)
