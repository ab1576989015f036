"""Rules on a batch as a whole: stale rows, and too few or too many of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raypipe.core.errors import ContractError
from raypipe.data.checking import check_sources, check_version
from raypipe.data.config import DataSettings
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.ingest import ingest
from raypipe.testing.data import Lake, SourceInMemory

TIMES = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def rows(n: int, at: datetime = TIMES) -> pa.Table:
    return pa.table({"at": pa.array([at] * n, pa.timestamp("us", "UTC")), "y": list(range(n))})


def fresh(lake: Lake, source: SourceInMemory, action: str) -> Any:
    rule = {"max_age_s": 86_400 * 2, "on_violation": action}
    return lake.ingest(source, time="at", contract={"freshness": rule})


@pytest.mark.parametrize(("age_days", "is_stale"), [(1.9, False), (2.0, False), (2.1, True)])
def test_rows_may_be_so_old_at_the_newest(lake: Lake, age_days: float, is_stale: bool) -> None:
    newest = lake.clock.now() - timedelta(days=age_days)
    source = SourceInMemory("s", [rows(2, newest - timedelta(days=90)), rows(2, newest)])
    if not is_stale:
        assert not fresh(lake, source, "stop").broken
        return
    with pytest.raises(
        ContractError, match=r"'at' must be at most 2 days old at the newest, but the newest is of"
    ):
        fresh(lake, source, "stop")
    assert not lake.versions.fragments() and not list(lake.folder.rows.glob("*.parquet"))
    (warned,) = fresh(lake, source, "warn").broken
    assert (warned.action, warned.column, warned.n_rows) == ("warn", "at", 0)
    assert any("the contract warns: at must be at most 2 days old" in told for told in lake.told)


def test_what_was_fresh_grows_stale(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(2, lake.clock.now())])
    version = fresh(lake, source, "stop")
    lake.clock.advance(86_400 * 3)
    with pytest.raises(ContractError, match="3 days old; see to the sources"):
        fresh(lake, source, "stop")
    assert fresh(lake, source, "warn") == version


def test_freshness_needs_a_time() -> None:
    with pytest.raises(ValueError, match=r"contract\.freshness needs event times"):
        DataSettings.model_validate(
            {
                "sources": [{"name": "s", "format": "csv", "path": "x"}],
                "label": "y",
                "contract": {"freshness": {"max_age_s": 1}},
            }
        )


def volume(lake: Lake, source: SourceInMemory, **rule: Any) -> Any:
    return lake.ingest(source, contract={"volume": rule})


@pytest.mark.parametrize("is_appended", [False, True])
def test_a_batch_must_have_so_many_rows(lake: Lake, is_appended: bool) -> None:
    source = SourceInMemory("s", [rows(100)], is_appended=is_appended)
    volume(lake, source, min_rows=5, max_rows=200)
    source.tables.append(rows(4))
    with pytest.raises(ContractError, match="a batch must have at least 5 rows, but it brings 4; see to the"):
        volume(lake, source, min_rows=5, max_rows=200)
    assert len(lake.versions.fragments()) == 1
    source.tables.append(rows(3))
    assert volume(lake, source, min_rows=5, max_rows=200).n_new_rows == 7
    assert volume(lake, source, min_rows=5, max_rows=200).n_rows == 107, "nothing new is no batch"
    source.tables.append(rows(201))
    with pytest.raises(ContractError, match="at most 200 rows, but it brings 201"):
        volume(lake, source, min_rows=5, max_rows=200)
    (warned,) = volume(lake, source, max_rows=200, on_violation="warn").broken
    assert warned.rule == "a batch must have at most 200 rows: it brings 201"


def test_a_batch_is_measured_by_those_before_but_the_first(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1_000)])
    volume(lake, source, min_ratio=0.5, max_ratio=2)
    source.tables.append(rows(10))
    volume(lake, source, min_ratio=0.5, max_ratio=2)
    source.tables.append(rows(12))
    volume(lake, source, min_ratio=0.5, max_ratio=2)
    source.tables.append(rows(23))
    with pytest.raises(
        ContractError, match=r"at most 2 times as many rows as usual \(11\), but it brings 23"
    ):
        volume(lake, source, min_ratio=0.5, max_ratio=2)
    source.tables[-1] = rows(5)
    with pytest.raises(ContractError, match=r"at least 0.5 times as many rows as usual \(11\)"):
        volume(lake, source, min_ratio=0.5, max_ratio=2)
    source.tables[-1] = rows(6)
    assert volume(lake, source, min_ratio=0.5, max_ratio=2).n_new_rows == 6


@pytest.mark.parametrize("what", ["rows", "ratio"])
def test_the_least_is_not_more_than_the_most(what: str) -> None:
    with pytest.raises(ValueError, match=f"min_{what} must be <= max_{what}"):
        DataSettings.model_validate(
            {
                "sources": [{"name": "s", "format": "csv", "path": "x"}],
                "label": "y",
                "contract": {"volume": {f"min_{what}": 3, f"max_{what}": 2}},
            }
        )


def written(place: Path, kind: str, numbers: range) -> dict[str, Any]:
    """Write rows more at a place, and return the settings of the source that has all of them."""
    if kind == "csv":
        (place / f"{numbers.start:05d}.csv").write_text("id,y\n" + "".join(f"{n},1\n" for n in numbers))
        return {"name": "s", "format": "csv", "path": str(place)}
    with closing(sqlite3.connect(place / "s.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER, y INTEGER)")
        database.executemany("INSERT INTO t VALUES (?, 1)", [(n,) for n in numbers])
    url = f"sqlite:///{place / 's.db'}"
    return {"name": "s", "format": "sql", "url": url, "table": "t", "cursor": "id"}


@pytest.mark.parametrize("kind", ["csv", "sql"])
def test_a_check_tells_of_a_batch_what_an_ingest_would_refuse(tmp_path: Path, kind: str) -> None:
    lake, place = Lake(tmp_path), tmp_path / "source"
    place.mkdir()
    limits = {"min_rows": 5, "max_rows": 200, "max_ratio": 3}
    end, source = 0, dict[str, Any]()
    for n_new, told in (
        (100, None),
        (4, "a batch must have at least 5 rows: it brings 4"),
        (3, None),
        (0, None),
        (22, "a batch must have at most 3 times as many rows as usual (7): it brings 22"),
        (190, "a batch must have at most 200 rows: it brings 212"),
    ):
        source = written(place, kind, range(end, end + n_new)) if n_new else source
        end += n_new
        declared = DataSettings.model_validate(
            {"sources": [source], "label": "y", "contract": {"volume": limits}}
        )
        history = lake.versions.all()
        found = check_sources(declared, now=TIMES, history=history)
        assert [(one.rule, one.action) for one in found.broken] == ([(told, "stop")] if told else [])
        try:
            version = ingest(declared, lake.folder, lake.versions, clock=lake.clock)
        except ContractError as error:
            assert told and told.split(":")[0] in str(error)
        else:
            assert not told
            checked = check_version(lake.folder, version, declared, now=TIMES, history=lake.versions.all())
            assert not checked.broken


def test_files_at_paths_are_the_batch_that_a_check_is_about(tmp_path: Path) -> None:
    source = written(tmp_path, "csv", range(9))
    declared = DataSettings.model_validate(
        {"sources": [source], "label": "y", "contract": {"volume": {"max_rows": 8}}}
    )
    lake = Lake(tmp_path / "home")
    lenient = declared.model_copy(update={"contract": ContractSettings()})
    version = ingest(lenient, lake.folder, lake.versions, clock=lake.clock)
    paths = [str(next(tmp_path.glob("*.csv")))]
    found = check_sources(declared, now=TIMES, history=[version], paths=paths)
    assert [one.rule for one in found.broken] == ["a batch must have at most 8 rows: it brings 9"]
    assert not check_sources(declared, now=TIMES, history=[version]).broken


def test_a_kept_version_is_checked_by_what_it_brought(lake: Lake) -> None:
    source = SourceInMemory("s", [rows(1_000)])
    lake.ingest(source)
    source.tables.append(rows(10))
    lake.ingest(source)
    source.tables.append(rows(50))
    version = lake.ingest(source)
    declared = DataSettings.model_validate(
        {
            "sources": [{"name": "s", "format": "csv", "path": "nowhere"}],
            "label": "y",
            "contract": {"volume": {"max_ratio": 4, "on_violation": "warn"}},
        }
    )
    found = check_version(lake.folder, version, declared, now=TIMES, history=lake.versions.all())
    told = "a batch must have at most 4 times as many rows as usual (10): it brings 50"
    assert [(one.rule, one.action) for one in found.broken] == [(told, "warn")]
