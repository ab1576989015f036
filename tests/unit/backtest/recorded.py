"""Small recorded streams, and configs to play them under."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.backtest.learner import Learner
from raypipe.backtest.loop import RecordedLoop
from raypipe.backtest.play import Played, Player
from raypipe.backtest.settings import BacktestSettings
from raypipe.backtest.stream import Stream, stream_of
from raypipe.backtest.traffic import RecordedTraffic, RowTexts
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.data.schema import schema_columns

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(n: int, *, changes_at: int | None = None, seed: int = 0) -> pa.Table:
    """Return hourly rows of two numbers, whose class follows the first until it changes, then the other."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, n))
    told = a if changes_at is None else np.where(np.arange(n) < changes_at, a, -b)
    label = np.where(told + 0.7 * random.normal(size=n) > 0, "yes", "no")
    times = [START + timedelta(hours=hour) for hour in range(n)]
    at = pa.array(times, pa.timestamp("us", tz="UTC"))
    return pa.table({"at": at, "a": a, "b": b, "label": pa.array(label, pa.large_string())})


@dataclass(frozen=True)
class Recorded:
    """A stream and what plays it."""

    stream: Stream
    config: Config
    settings: BacktestSettings

    @property
    def learner(self) -> Learner:
        return Learner(self.stream, self.config)

    def player(self) -> Player:
        return Player(self.stream, self.learner, self.config)

    def played(self) -> Played:
        return self.player().loop(self.config.retraining)

    def loop(self) -> RecordedLoop:
        """Return a loop that has not looked yet."""
        texts = RowTexts(self.stream, "label")
        traffic = RecordedTraffic(self.stream, texts, self.config.monitoring)
        return RecordedLoop("small", self.stream, self.learner, self.config.retraining, traffic, 0)

    def under(self, **retraining: Any) -> Recorded:
        """Return the same rows under another policy."""
        policy = self.config.retraining.model_validate(retraining)
        return replace(self, config=self.config.model_copy(update={"retraining": policy}))


def record(
    folder: Path, n: int = 3_000, changes_at: int | None = None, seed: int = 0, **settings: Any
) -> Recorded:
    """Record rows and cut them as a backtest does."""
    table = rows(n, changes_at=changes_at, seed=seed)
    config = parse_config(
        {
            "name": "small",
            "home": str(folder / "home"),
            "data": {
                "sources": [{"name": "rows", "format": "parquet", "path": "rows.parquet"}],
                "label": "label",
                "time": "at",
            },
            "training": {"families": ["linear"], "metric": "accuracy"},
            "monitoring": {"window_rows": 200, "window_labels": 100},
        },
        folder,
    )
    asked = BacktestSettings(**{"looks": 20, "every": (8,), **settings})
    return Recorded(stream_of(table, schema_columns(table.schema), "at", asked), config, asked)
