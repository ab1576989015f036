"""Profiles that are merged from those of fragments are those of the rows, to the bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from raypipe.core.home import Home, PipelineHome
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.fragments import NUMBER_COLUMN, read_numbered, read_rows
from raypipe.data.ingest import ingest
from raypipe.data.profile import Profile
from raypipe.data.profiles import fragment_profile, profile_of_part, version_profile
from raypipe.data.split import split_rows
from raypipe.data.versions import DataVersion
from raypipe.testing import FakeClock
from raypipe.testing.data import SourceInMemory, VersionsInMemory, feeds_in_memory

SETTINGS = DataSettings.model_validate(
    {"sources": [{"name": "unused", "format": "csv", "path": "nowhere"}], "label": "y", "time": "at"}
)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def part(seed: int, n_rows: int, first_hour: int, kind: str = "number") -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {
        "number": pa.array(rng.normal(size=n_rows), mask=rng.random(n_rows) < 0.2),
        "integer": pa.array(rng.integers(-5, 5, n_rows)),
        "null": pa.nulls(n_rows),
    }
    return pa.table(
        {
            "x": columns[kind],
            "word": pa.array([f"w{n}" if n else None for n in rng.integers(0, 9, n_rows)]),
            "at": [NOON + timedelta(hours=first_hour + int(h)) for h in rng.integers(0, 10, n_rows)],
            "y": rng.integers(0, 2, n_rows),
        }
    )


def collect(folder: PipelineHome, tables: list[pa.Table]) -> DataVersion:
    source = SourceInMemory("s", tables)
    return ingest(
        SETTINGS, folder, VersionsInMemory(), clock=FakeClock(), feeds=feeds_in_memory(SETTINGS, source)
    )


parts = st.lists(
    st.builds(
        part,
        st.integers(0, 99),
        st.integers(1, 20),
        st.integers(0, 30),
        st.sampled_from(["number", "integer", "null"]),
    ),
    min_size=1,
    max_size=6,
)


@examples(max_examples=20)
@given(parts)
def test_the_profile_of_a_version_is_that_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory, tables: list[pa.Table]
) -> None:
    folder = Home(tmp_path_factory.mktemp("p")).pipeline("p")
    version = collect(folder, tables)
    assert version_profile(folder, version) == Profile.of_table(read_rows(folder, version))
    assert version_profile(folder, version) == Profile.of_table(read_rows(folder, version)), "from its file"


@examples(max_examples=20)
@given(parts, st.sampled_from(["at", None]), st.integers(0, 3))
def test_the_profile_of_the_training_part_is_that_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory, tables: list[pa.Table], time: str | None, seed: int
) -> None:
    folder = Home(tmp_path_factory.mktemp("p")).pipeline("p")
    version = collect(folder, tables)
    rows = read_numbered(folder, version)
    train = (
        split_rows(rows, SplitSettings(), time=time, seed=seed).train if rows.num_rows > 20 else rows.slice(1)
    )
    expected = Profile.of_table(train.drop_columns([NUMBER_COLUMN]))
    assert profile_of_part(folder, version, train) == expected


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


def test_of_a_split_by_time_only_the_fragment_at_the_border_is_profiled(
    folder: PipelineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = collect(folder, [part(n, 100, 10 * n) for n in range(5)])
    train = split_rows(read_numbered(folder, version), SplitSettings(), time="at", seed=0).train
    expected = Profile.of_table(train.drop_columns([NUMBER_COLUMN]))
    profiled: list[int] = []
    real = Profile.of_table

    def of_table(table: pa.Table, columns: list[str] | None = None) -> Profile:
        profiled.append(table.num_rows)
        return real(table, columns)

    monkeypatch.setattr(Profile, "of_table", of_table)
    assert profile_of_part(folder, version, train) == expected
    assert sum(profiled) == train.num_rows % 100


def test_a_profile_that_was_lost_is_made_anew(folder: PipelineHome) -> None:
    version = collect(folder, [part(1, 10, 0), part(2, 10, 0, "null")])
    before = [fragment_profile(folder, one, version.columns) for one in version.fragments]
    for one in version.fragments:
        folder.fragment_profile(one.id).unlink()
    assert [fragment_profile(folder, one, version.columns) for one in version.fragments] == before
    assert folder.fragment_profile(version.fragments[0].id).exists()
