"""raypipe, in this process or over Ray Data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pyarrow import parquet

from benchmarks.processing.job import PROCESSING
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.needs import needed_parts
from raypipe.processing.stream import FeatureTask, ProfileTask, profile_files, write_features
from raypipe.processing.stretches import Stretch, stretches_of

DATA = DataSettings.model_validate(
    {"sources": [{"name": "rows", "format": "parquet", "path": "rows.parquet"}], "label": "y"}
)


def here(source: Path, target: Path) -> None:
    """Fit and write with the cores of this process."""
    _run(source, target, profile_files, write_features)


def over_ray(source: Path, target: Path) -> None:
    """Fit and write in tasks of Ray Data."""
    from raypipe.processing.on_ray import profile_files_over_ray, write_features_over_ray

    _run(source, target, profile_files_over_ray, write_features_over_ray)


def _run(
    source: Path,
    target: Path,
    profiled: Callable[[tuple[Stretch, ...], ProfileTask], Profile],
    written: Callable[[tuple[Stretch, ...], FeatureTask], int],
) -> None:
    stretches, columns = stretches_of([source]), schema_columns(parquet.read_schema(source))
    settings = ProcessingSettings.model_validate(PROCESSING)
    profile = profiled(stretches, ProfileTask(columns, needed_parts(columns, settings)))
    target.mkdir()
    written(stretches, FeatureTask(fit_transform(profile, columns, DATA, settings), target))
