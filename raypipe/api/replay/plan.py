"""What a replay is played against: a pipeline of its own that has learned from the older rows alone.

The older rows are written out as a file, not chosen by `data.where`: whatever reads the derived config, now
or at any retrain, then cannot reach the rows that are still to come, and it does not matter of what kind the
sources, or their times, are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from raypipe.config.settings import Config
from raypipe.core.errors import ConfigError
from raypipe.data.config import DataSettings
from raypipe.data.expressions import label_inputs
from raypipe.data.replay import Parted
from raypipe.data.sources.config import ParquetSettings
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.store import Registry
from raypipe.training.config import TrainingSettings

COMMIT_INTERVAL_S = 1.0
TICK_S = 0.5
MAX_PER_DAY = 10_000
N_RETRAINS = 8
"""How many retrains a replay asks for by new labels where the config names no trigger."""


@dataclass(frozen=True)
class ReplaySettings:
    """What is played, and how fast; `start` is the first moment that is played, else `share` is history."""

    start: datetime | None = None
    share: float = 0.5
    rows_per_s: float = 300.0
    retraining_rows_per_s: float = 10.0
    """Rows a second while a retrain is under way, where event time runs so fast that it would take months."""
    rows_per_request: int = 10
    label_delay_s: float = 1.0
    trials: int = 6
    """The most trials of a training, the first one's and each retrain's."""
    minutes: float = 0.5
    """The most minutes of a training's search."""
    settle_s: float = 120.0
    """How long a retrain that is under way at the end may take for its verdict."""
    block_rows: int | None = None
    """The rows of a block of the bootstrap; as far as rows depend on each other if None."""

    def __post_init__(self) -> None:
        for name in ("rows_per_s", "retraining_rows_per_s", "rows_per_request", "trials", "minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} of a replay must be > 0. Got {getattr(self, name)}.")
        if not self.label_delay_s >= 0:
            raise ConfigError(f"label_delay_s of a replay must be >= 0 seconds. Got {self.label_delay_s}.")
        if not 0 < self.share < 1:
            raise ConfigError(f"share of a replay must be between 0 and 1. Got {self.share}.")


@dataclass(frozen=True)
class Plan:
    """A derived config."""

    config: Config
    speed: float
    """How many seconds of event time pass in a second."""
    changes: tuple[str, ...]
    """What was set otherwise than in the config it was derived from, a line a key."""


def free_name(config: Config, registry: Registry) -> str:
    """Return a name of which no version exists: what a replay has played, another one must not learn from."""
    stem = f"{config.name[:30]}-replay"
    number = 1
    while registry.model_versions(name := stem if number == 1 else f"{stem}-{number}", removed=True):
        number += 1
    return name


def speed_of(parted: Parted, time: str, rows_per_s: float) -> float:
    """Return how many seconds of event time pass in a second of the replay."""
    times = parted.played[time]
    span: timedelta = times[-1].as_py() - parted.moment
    return float(span.total_seconds() * rows_per_s / parted.played.num_rows)


def time_column(config: Config) -> str:
    """Return the column with the event time; raises ConfigError where there is none."""
    if config.data.time is None:
        raise ConfigError(
            "data.time must name a column for a replay: rows are played in order of it. Got none."
        )
    return config.data.time


def derive(config: Config, name: str, parted: Parted, settings: ReplaySettings) -> Plan:
    """Return the config of the pipeline that is played against."""
    speed = speed_of(parted, time_column(config), settings.rows_per_s)
    training = _training(config.training, settings)
    retraining = _retraining(config.retraining, parted.played.num_rows, speed)
    capture = config.serving.capture.model_copy(
        update={"enabled": True, "commit_interval_s": COMMIT_INTERVAL_S}
    )
    made = config.model_copy(
        update={
            "name": name,
            "data": _data(config.data, parted, history_file(config, name)),
            "training": training,
            "serving": config.serving.model_copy(update={"capture": capture}),
            "retraining": retraining,
        }
    )
    elsewhere = {"name", "home", "data"}
    changes = _changes(config.model_dump(exclude=elsewhere), made.model_dump(exclude=elsewhere))
    return Plan(made, speed, tuple(changes))


def history_file(config: Config, name: str) -> Path:
    """Return where the rows that are history are written."""
    return config.root.pipeline(name).root / "replay" / "history.parquet"


def config_file(config: Config) -> Path:
    """Return where the derived config is written, for `raypipe status`, `history`, `why` and `down`."""
    return config.folder.root / "replay" / "raypipe.yaml"


def _data(data: DataSettings, parted: Parted, file: Path) -> DataSettings:
    """Take the rows as they were collected: chosen, checked, and with their label computed."""
    names = parted.history.column_names
    inputs = [column for column in label_inputs(data) if column in names and column not in data.drop]
    source = ParquetSettings(name="history", format="parquet", path=str(file))
    dropped = (*(column for column in data.drop if column in names), *inputs)
    return data.model_copy(
        update={"sources": (source,), "label": data.label_name, "where": None, "drop": dropped}
    )


def _training(training: TrainingSettings, settings: ReplaySettings) -> TrainingSettings:
    budget = training.budget.model_copy(
        update={
            "trials": min(training.budget.trials, settings.trials),
            "minutes": min(training.budget.minutes, settings.minutes),
        }
    )
    return training.model_copy(update={"budget": budget})


def _retraining(policy: RetrainingSettings, n_rows: int, speed: float) -> RetrainingSettings:
    """Return the same policy in the time of the replay: counts of labels stay, times shrink."""
    triggers = policy.triggers
    asks = triggers.new_labels, triggers.quality_bound, triggers.cost, triggers.action_of("drift")
    labels = triggers.new_labels if any(ask is not None for ask in asks) else max(1, n_rows // N_RETRAINS)
    return policy.model_copy(
        update={
            "mode": "auto",
            "triggers": triggers.model_copy(update={"new_labels": labels, "schedule": None}),
            "cool_down_s": policy.cool_down_s / max(1.0, speed),
            "max_per_day": MAX_PER_DAY,
            "tick_s": min(policy.tick_s, TICK_S),
            "alerts": policy.alerts.model_copy(update={"webhook": None}),
        }
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield what was set, a line for each key of the config."""
    for name, new in after.items():
        old, key = before[name], f"{where}{name}"
        if isinstance(new, dict):
            yield from _changes(old, new, f"{key}.")
        elif new != old:
            yield f"{key}: {old} becomes {new:g}" if isinstance(new, float) else f"{key}: {old} becomes {new}"
