"""A config with an event time, and rows to part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.data.canonical import TYPES
from raypipe.data.replay import Parted, part

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse_config(
        {
            "name": "flights",
            "home": "home",
            "data": {
                "sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}],
                "label": {"name": "late", "expression": "delay > 15"},
                "time": "at",
                "where": "origin = 'JFK'",
                "drop": ["gate", "photo"],
            },
            "training": {"budget": {"trials": 4, "minutes": 3}},
            "retraining": {
                "mode": "approve",
                "triggers": {"quality_bound": 0.8, "schedule": "30 3 * * mon"},
                "cool_down_s": 86400,
                "alerts": {"webhook": "https://example.org/hook"},
            },
        },
        tmp_path,
    )


@pytest.fixture
def parted() -> Parted:
    """Return 1,000 hours, the older half of them history."""
    n = 1_000
    times = pa.array([START + timedelta(hours=hour) for hour in range(n)], TYPES["timestamp"])
    columns = {"at": times, "delay": list(range(n)), "gate": list(range(n)), "late": [False, True] * (n // 2)}
    return part(pa.table(columns), "at", 0.5)
