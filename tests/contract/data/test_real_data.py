"""Real files become versions: rows are counted, labelled and split as their description says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raypipe.config.load import load_config
from raypipe.core.home import Home
from raypipe.data.config import DataSettings
from raypipe.data.fragments import read_rows
from raypipe.data.ingest import ingest
from raypipe.data.joins import as_lookup, join_lookups
from raypipe.data.sources.lookups import list_lookups, read_lookup
from raypipe.data.sources.opened import open_sources
from raypipe.data.sources.rows import read_canonical, read_stacked
from raypipe.data.split import split_rows
from raypipe.testing import FakeClock
from raypipe.testing.data import VersionsInMemory

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("name", "more", "n_rows", "n_unlabelled"),
    [
        ("elec2", {"label": "class", "time": "ts"}, 45_312, 0),
        ("bike_sharing_hourly", {"label": "cnt", "time": "ts"}, 17_379, 0),
        (
            "nycflights13_flights",
            {"label": {"name": "late", "expression": "arr_delay > 15"}, "time": "flight_date"},
            327_346,
            9_430,
        ),
        ("adult_train", {"label": "class"}, 32_561, 0),
    ],
)
def test_a_real_file_becomes_a_version_and_splits(
    tmp_path: Path,
    real_data: Callable[[str], Path],
    name: str,
    more: dict[str, Any],
    n_rows: int,
    n_unlabelled: int,
) -> None:
    source = {"name": "real", "format": "parquet", "path": str(real_data(f"{name}.parquet"))}
    settings = DataSettings.model_validate({"sources": [source], **more})
    folder = Home(tmp_path).pipeline("p")
    version = ingest(settings, folder, VersionsInMemory(), clock=FakeClock())
    assert (version.n_rows, version.n_unlabelled, version.broken) == (n_rows, n_unlabelled, ())
    split = split_rows(read_rows(folder, version), settings.split, time=settings.time, seed=0)
    assert split.train.num_rows + split.validation.num_rows + split.test.num_rows == n_rows
    assert split.test.num_rows / n_rows == pytest.approx(0.2, abs=0.01)


@dataclass(frozen=True)
class Flights:
    """The flights as the example config joins them, and a way to join them anew."""

    rows: pa.Table
    joined: pa.Table
    weather: pa.Table
    join: Callable[[pa.Table, pa.Table], pa.Table]


@pytest.fixture(scope="module")
def flights(real_data: Callable[[str], Path]) -> Flights:
    folder = real_data("nycflights13_flights.parquet").parent
    config = load_config(CONFIGS / "nycflights.yaml", {"RAYPIPE_DATA": str(folder)}).data
    (source,) = open_sources(config)
    (piece,) = source.pieces(None)
    rows = read_canonical(source, piece, {}, ()).table
    listed = list_lookups(config)
    lookups = [read_lookup(one)[0] for one in listed]
    weather, by = read_stacked(listed[0].pieces, {}, ()).table, listed[0].join

    def join(some: pa.Table, weather: pa.Table) -> pa.Table:
        return join_lookups(some, [as_lookup("weather", by, weather.drop_columns("_source"))], config)

    return Flights(rows, join_lookups(rows, lookups, config), weather, join)


def test_flights_get_the_weather_of_the_last_full_hour_and_their_plane(flights: Flights) -> None:
    """Compared with a loop over all observations, for some flights of all seasons, in New York's own time."""
    known = flights.weather.select(["origin", "time_hour", "temp", "wind_speed"]).to_pylist()
    new_york = ZoneInfo("America/New_York")
    picked = flights.joined.take(np.arange(0, flights.joined.num_rows, 9_001))
    for row in picked.filter(pc.is_valid(picked["sched_dep_min"])).to_pylist():
        leaves = row["flight_date"] + timedelta(minutes=row["sched_dep_min"])
        now = leaves.replace(tzinfo=new_york).astimezone(UTC) - timedelta(hours=1)
        seen = [one for one in known if one["origin"] == row["origin"] and one["time_hour"] <= now]
        last = max(seen, key=lambda one: one["time_hour"])
        assert now - last["time_hour"] <= timedelta(hours=5)
        assert (row["weather_temp"], row["weather_wind_speed"]) == (last["temp"], last["wind_speed"])
    assert flights.joined.num_rows == 336_776
    assert flights.joined["plane_seats"].null_count == 52_606


def test_no_flight_sees_weather_from_after_it_was_to_leave(flights: Flights) -> None:
    """Without the observations of the second half of the year, flights of the first half are the same."""
    half = pa.scalar(datetime(2013, 7, 1, tzinfo=UTC), flights.rows["flight_date"].type)
    early = flights.rows.filter(pc.less(flights.rows["flight_date"], half))
    known = flights.weather.filter(pc.less(flights.weather["time_hour"], half))
    before, after = flights.join(early, known), flights.join(early, flights.weather)
    late = pc.greater_equal(early["flight_date"], pa.scalar(datetime(2013, 6, 30, tzinfo=UTC), half.type))
    assert before.filter(pc.invert(late)).equals(after.filter(pc.invert(late)))
