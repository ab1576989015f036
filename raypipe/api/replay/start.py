"""Bringing up the pipeline that a replay is played against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raypipe.api.pipeline import Pipeline
from raypipe.api.replay.plan import (
    Plan,
    ReplaySettings,
    config_file,
    derive,
    free_name,
    history_file,
    time_column,
)
from raypipe.config.load import to_yaml
from raypipe.config.settings import Config
from raypipe.core.clock import SystemClock
from raypipe.core.files import LOCAL_DISK, storage_errors
from raypipe.core.progress import Progress, silent
from raypipe.data.fragments import read_rows
from raypipe.data.replay import Parted, part, write_rows
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.store import Registry


@dataclass(frozen=True)
class BroughtUp:
    """A pipeline that learned from history and answers, and the rows that come after it."""

    pipeline: Pipeline
    plan: Plan
    parted: Parted
    file: Path
    """The derived config."""


def bring_up(config: Config, settings: ReplaySettings, progress: Progress = silent) -> BroughtUp:
    """Part the rows of a config at a moment, and bring up a pipeline of its own on the older ones.

    Raises ConfigError where the config has no event time, DataError where a part has no rows.
    """
    column = time_column(config)
    config.root.prepare()
    registry = Registry(config.root.registry_url, SystemClock())
    data = Loop(config, registry, SystemClock(), no_compute, progress).collect()
    parted = part(read_rows(config.folder, data), column, settings.start or settings.share)
    plan = derive(config, free_name(config, registry), parted, settings)
    write_rows(parted.history, history_file(config, plan.config.name))
    file = config_file(plan.config)
    with storage_errors(file):
        LOCAL_DISK.write_atomic(file, to_yaml(plan.config).encode())
    pipeline = Pipeline.of(plan.config, progress=progress)
    pipeline.up()
    return BroughtUp(pipeline, plan, parted, file)
