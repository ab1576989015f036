"""From a config to a backtest's result; nothing is registered, and no Ray is started."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from raypipe.backtest.learner import Fit, Learner
from raypipe.backtest.play import Player
from raypipe.backtest.policies import beside
from raypipe.backtest.result import BacktestResult, Prices, results
from raypipe.backtest.settings import BacktestSettings
from raypipe.backtest.stream import Stream, stream_of
from raypipe.config.settings import Config
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ConfigError, DataError
from raypipe.core.progress import Progress, silent
from raypipe.data.fragments import read_rows
from raypipe.data.versions import DataVersion
from raypipe.pipeline import Loop, no_compute
from raypipe.processing.duplicates import without_duplicates
from raypipe.processing.where import in_memory
from raypipe.registry.store import Registry
from raypipe.stats.metrics import METRICS
from raypipe.training.task import Task, infer_task


def backtest(config: Config, settings: BacktestSettings, progress: Progress = silent) -> BacktestResult:
    """Collect the rows of a config, and play its policy and others over the newer ones.

    Raises ConfigError where the config names no event time, DataError where rows are too few or too many for
    memory, and what collecting and the first fit raise.
    """
    if config.data.time is None:
        raise ConfigError(
            "data.time must name a column for a backtest: rows are played in order of it. Got none."
        )
    config.root.prepare()
    registry = Registry(config.root.registry_url, SystemClock())
    data = Loop(config, registry, SystemClock(), no_compute, progress).collect()
    stream = stream_of(_rows(config, data), data.columns, config.data.time, settings)
    return replace(play(config, stream, settings, progress), data_version=data.id)


def play(
    config: Config, stream: Stream, settings: BacktestSettings, progress: Progress = silent
) -> BacktestResult:
    """Play the policy of a config, and those beside it, over rows."""
    learner = Learner(stream, config, every_family=settings.every_family)
    player = Player(stream, learner, config, progress)
    played = [player.loop(config.retraining), *(player.beside(policy) for policy in beside(settings))]
    task = _task(config, stream)
    return BacktestResult(
        pipeline=config.name,
        data_version="",
        metric=task.metric,
        larger_is_better=METRICS[task.metric].larger_is_better,
        first_family=learner.first().family,
        starts_at=stream.at(stream.n_history),
        ends_at=stream.at(stream.rows.num_rows - 1),
        n_history=stream.n_history,
        n_rows=stream.rows.num_rows - stream.n_history,
        n_looks=len(stream.ends),
        label_delay=settings.label_delay.text,
        policies=results(stream, played, task, config.training.seed, _prices(config, learner.first())),
    )


def _prices(config: Config, first: Fit) -> Prices | None:
    settings = config.retraining.triggers.cost
    if settings is None:
        return None
    task, split = first.prepared.task, first.prepared.split
    if task.classes:
        return Prices(settings)
    rows = split.test.take(np.arange(split.test.num_rows))
    errors = np.abs(first.answers(rows) - task.encode(rows[task.label]))
    return Prices(settings, tuple(np.sort(errors).tolist()))


def _task(config: Config, stream: Stream) -> Task:
    """Return the task of all rows, those of classes that come late too."""
    label = config.data.label_name
    return infer_task(config.training, label, stream.rows[label])


def _rows(config: Config, data: DataVersion) -> pa.Table:
    names, most = [column.name for column in data.columns], config.processing.in_memory_cells
    if not in_memory(data.n_rows, len(names), most):
        raise DataError(
            f"a backtest holds all rows in memory, and processing.in_memory_cells is {most:,}. Got "
            f"{data.n_rows:,} rows of {len(names)} columns: choose fewer by data.where, or raise it."
        )
    return without_duplicates(
        read_rows(config.folder, data),
        config.processing.deduplicate,
        names,
        config.data.time,
        keys=config.folder.keys,
        scratch=config.folder.scratch,
    )
