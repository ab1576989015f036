"""Recorded streams in chunks: the first 15% of them are history, and one looks after each other one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from raypipe.backtest.settings import Delay
from raypipe.backtest.stream import Stream, arrivals_of
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.data.canonical import TYPES
from raypipe.data.schema import kind_of, schema_columns

HISTORY = 0.15
_AT = "at"
_LEAKS = ["dep_time", "dep_delay", "arr_time", "air_time", "hour", "minute"]


@dataclass(frozen=True)
class Recorded:
    """Rows in order of time, and where each chunk ends."""

    name: str
    rows: pa.Table
    label: str
    metric: str
    ends: tuple[int, ...]
    estimator: str
    params: Mapping[str, Any] = field(default_factory=lambda: {"max_iter": 100})

    def config(self, home: Path, **retraining: Any) -> Config:
        """Return a config with the learner of all policies, and a policy."""
        return parse_config(
            {
                "name": self.name.replace("_", "-"),
                "home": str(home),
                "data": {
                    "sources": [{"name": "rows", "format": "parquet", "path": "rows.parquet"}],
                    "label": self.label,
                    "time": _AT,
                },
                "training": {
                    "families": [],
                    "models": {"boosted": {"estimator": self.estimator, "params": dict(self.params)}},
                    "metric": self.metric,
                },
                # Of the newest rows nothing is decided; the newest labels are 500, as by default.
                "monitoring": {"window_rows": 500},
                "retraining": retraining,
            },
            home,
        )

    def stream(self, delay: int) -> Stream:
        """Return the rows as they are played, with labels so many chunks late."""
        n_first = round(len(self.ends) * HISTORY)
        n_history, ends = self.ends[n_first - 1], self.ends[n_first:]
        times = self.rows[_AT].cast(pa.int64()).to_numpy()
        arrivals = arrivals_of(times, n_history, ends, Delay(delay, "looks"))
        return Stream(self.rows, schema_columns(self.rows.schema), times, n_history, ends, arrivals)

    def shuffled(self, seed: int) -> Recorded:
        """Return the same rows in a random order, at the same times: a stream without drift."""
        order = np.random.default_rng(seed).permutation(self.rows.num_rows)
        mixed = self.rows.take(pa.array(order)).set_column(0, _AT, self.rows[_AT])
        return replace(self, name=f"{self.name}-mixed", rows=mixed)


def elec2() -> Recorded:
    rows = _read("elec2")
    return _of("elec2", rows, rows["ts"], ["ts", "date"], "class", "auc", _every(1_000, rows.num_rows))


def bike() -> Recorded:
    rows = _read("bike_sharing_hourly")
    left_out = ["ts", "dteday", "instant", "casual", "registered"]
    return _of("bike", rows, rows["ts"], left_out, "cnt", "mae", _weeks(rows["ts"]))


def bank() -> Recorded:
    """Its rows are in order and have no times: a minute each."""
    rows = _read("bank_full")
    start = datetime(2008, 5, 1, tzinfo=UTC)
    times = pa.array([start + timedelta(minutes=i) for i in range(rows.num_rows)])
    ends = _every(1_000, rows.num_rows)
    return _of("bank", rows, pa.chunked_array([times]), ["duration"], "y", "auc", ends)


def flights() -> Recorded:
    """Every fourth flight, so that the table takes minutes; without weather and planes."""
    rows = _read("nycflights13_flights")
    rows = rows.filter(pc.is_valid(rows["arr_delay"]))
    rows = rows.take(pc.sort_indices(rows["flight_date"].cast(pa.int64())))
    rows = rows.take(np.arange(0, rows.num_rows, 4))
    late = pc.if_else(pc.greater(rows["arr_delay"], 15), "yes", "no")
    rows = rows.append_column("late", late)
    left_out = ["flight_date", "arr_delay", "tailnum", "year", *_LEAKS]
    return _of("flights", rows, rows["flight_date"], left_out, "late", "auc", _weeks(rows["flight_date"]))


SETS: Mapping[str, Callable[[], Recorded]] = {"elec2": elec2, "bike": bike, "bank": bank, "flights": flights}


def _of(
    name: str,
    rows: pa.Table,
    times: pa.ChunkedArray,
    left_out: list[str],
    label: str,
    metric: str,
    ends: tuple[int, ...],
) -> Recorded:
    kind = "Regressor" if metric == "mae" else "Classifier"
    kept = rows.drop_columns([column for column in left_out if column in rows.column_names])
    typed = {one: kept[one].cast(TYPES[kind_of(kept[one].type)]) for one in kept.column_names}
    table = pa.table({_AT: times.cast(TYPES["timestamp"]), **typed})
    estimator = f"sklearn.ensemble:HistGradientBoosting{kind}"
    return Recorded(name, table, label, metric, ends, estimator)


def _every(n: int, n_rows: int) -> tuple[int, ...]:
    return (*range(n, n_rows, n), n_rows)


def _weeks(times: pa.ChunkedArray) -> tuple[int, ...]:
    """Return the ends of the weeks from the first row on."""
    days = times.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() // 86_400_000_000
    week = (days - days[0]) // 7
    return (*(np.flatnonzero(np.diff(week)) + 1).tolist(), len(week))


def _read(name: str) -> pa.Table:
    return parquet.read_table(Path(os.environ["RAYPIPE_TEST_DATA"]) / f"{name}.parquet")
