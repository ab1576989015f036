"""Real files become versions: rows are counted, labelled and split as their description says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.home import Home
from raypipe.data.config import DataSettings
from raypipe.data.ingest import ingest, read_rows
from raypipe.data.split import split_rows
from raypipe.testing import FakeClock


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
    version = ingest(settings, folder, find=lambda _: None, parent=None, clock=FakeClock())
    assert (version.n_rows, version.n_unlabelled, version.broken) == (n_rows, n_unlabelled, ())
    split = split_rows(read_rows(folder, version), settings.split, time=settings.time, seed=0)
    assert split.train.num_rows + split.validation.num_rows + split.test.num_rows == n_rows
    assert split.test.num_rows / n_rows == pytest.approx(0.2, abs=0.01)
