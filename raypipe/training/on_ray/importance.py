"""Importance over Ray: a task a column, the model loaded once in each worker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import ray

from raypipe.core.background import in_background
from raypipe.stats.intervals import Interval
from raypipe.training.models import Model, load_model
from raypipe.training.permutation import Measurement
from raypipe.training.race import Candidate


def measure_over_ray(
    measurement: Measurement, best: Candidate, columns: Sequence[str], *, cpus: float
) -> list[Interval]:
    """Return what `Measurement.of` returns for each column; many nodes must share the model's folder."""
    shared = ray.put(measurement)
    task = ray.remote(_measure).options(num_cpus=cpus)
    found: list[Interval] = ray.get(
        [task.remote(shared, str(best.folder), best.format, column) for column in columns]
    )
    return found


def _measure(measurement: Measurement, folder: str, format: str, column: str) -> Interval:
    in_background()
    return measurement.of(column, _model(folder, format))


@lru_cache(maxsize=1)
def _model(folder: str, format: str) -> Model:
    return load_model(Path(folder), format)
