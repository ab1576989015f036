"""`raypipe data explore`: the page of a version as a file, and with what models tell of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import raypipe
from raypipe.core.errors import StorageError, UnknownVersion
from raypipe.data.profile import Profile
from raypipe.monitoring.reference import Reference, write_reference
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.training.leaderboard import Interval, Leaderboard, LeaderboardEntry

Command = Callable[..., Any]
ONE = Interval(0.5, 0.4, 0.6)
ENTRY = LeaderboardEntry("linear", "t0", "linear", {}, ONE, ONE, {}, None, None, 0.1, 5.0, 1_000)


@pytest.fixture
def ingested(config: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """Return the config of a pipeline with one data version of ten rows, and the version's id."""
    (config.parent / "rows").mkdir()
    lines = [f"{20 + n},{'xy'[n % 2]}" for n in range(10)]
    (config.parent / "rows" / "a.csv").write_text("\n".join(["age,group", *lines]) + "\n")
    monkeypatch.chdir(config.parent)
    return config, raypipe.load(config).ingest().id


def test_a_page_is_written_for_a_version(ingested: tuple[Path, str], command: Command) -> None:
    config, id = ingested
    told = command("data", "explore", id, str(config)).text
    page = (config.parent / f"{id}.html").read_text()
    assert told.startswith(f"{id}.html: ")
    assert page == raypipe.load(config).data.explore()
    found = command("data", "explore", id, str(config), "--out", "other.html", "--json").json
    assert found == {"version": id, "file": "other.html", "bytes": len(page.encode())}
    assert (config.parent / "other.html").read_text() == page


def test_no_row_is_read_for_it(ingested: tuple[Path, str], command: Command) -> None:
    config, id = ingested
    before = raypipe.load(config).data.explore(id)
    for file in raypipe.load(config).config.folder.rows.glob("*.parquet"):
        file.unlink()
    assert raypipe.load(config).data.explore(id) == before


def test_a_version_that_is_none_and_a_place_that_is_none_are_refused(
    ingested: tuple[Path, str], command: Command
) -> None:
    config, id = ingested
    with pytest.raises(UnknownVersion, match=r"Got 'd-none'\."):
        command("data", "explore", "d-none", str(config))
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        command("data", "explore", id, str(config), "--out", "rows/a.csv/page.html")


def test_the_newest_model_tells_the_parts(ingested: tuple[Path, str]) -> None:
    config, id = ingested
    pipeline = raypipe.load(config)
    rows = pipeline.data.rows(id).slice(0, 6)
    staged = config.parent / "staged"
    staged.mkdir()
    profile = Profile.of_table(rows, ["age"])
    write_reference(staged, Reference.of(profile, [one.column for one in profile.columns]))
    draft = ManifestDraft(
        pipeline="credit",
        data_version=id,
        run="r-1",
        task={},
        family="linear",
        format="linear",
        params={},
        metrics=Leaderboard("auc", True, "linear", (ENTRY,), 2, 2).to_json(),
        frameworks={},
    )
    registry = Registry(pipeline.config.root.registry_url, FakeClock(datetime(2026, 1, 1, tzinfo=UTC)))
    registry.register("credit", staged, pipeline.config.folder.models, draft)
    page = raypipe.load(config).data.explore(id)
    assert "Parts, as v1 learned from them" in page
    assert "training rows of v1" in page
    shutil.rmtree(pipeline.config.folder.models)
    assert "Parts, as" not in raypipe.load(config).data.explore(id)
