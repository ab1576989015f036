"""Features of a version's blocks, made by tasks of Ray Data, are those of this process; a trial maps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.config import DataSettings
from raypipe.processing.config import ProcessingSettings
from raypipe.testing.data import Lake, SourceInMemory
from raypipe.training.config import TrainingSettings
from raypipe.training.encoding import training_set
from raypipe.training.preparing import prepared_version

pytestmark = pytest.mark.usefixtures("local_ray")

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(n: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "x": pa.array(random.normal(size=n), mask=random.random(n) < 0.2),
            "job": random.choice(["a", "b", "ü"], n),
            "at": [START + timedelta(minutes=int(minute)) for minute in random.integers(0, 500, n)],
            "y": random.integers(0, 2, n),
        }
    )


def test_tasks_make_the_features_of_this_process(tmp_path: Path) -> None:
    import ray

    lake = Lake(tmp_path / "home")
    version = lake.ingest(SourceInMemory("s", [rows(300, seed) for seed in range(3)]), time="at")
    unused = {"name": "unused", "format": "csv", "path": "nowhere"}
    prepared = prepared_version(
        lake.folder,
        version,
        data=DataSettings.model_validate({"sources": [unused], "label": "y", "time": "at"}),
        processing=ProcessingSettings.model_validate(
            {
                "in_memory_cells": 0,
                "deduplicate": {"by": ["at"]},
                "columns": [{"match": "job", "encode": "target"}],
            }
        ),
        training=TrainingSettings(),
    )
    here, there = (training_set(prepared, compute, tmp_path / compute) for compute in ("local", "ray"))
    for name in ("x_train", "y_train", "x_validation", "y_validation"):
        assert getattr(here, name).tobytes() == getattr(there, name).tobytes()
    assert here.x_train.shape[0] < 0.6 * version.n_rows

    task = ray.remote(lambda data: (isinstance(data.x_train, np.memmap), float(data.x_train.sum())))
    assert ray.get(task.remote(ray.put(here))) == (True, float(here.x_train.sum()))
