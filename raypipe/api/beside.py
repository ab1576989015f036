"""Two model versions side by side, and the difference where both can be judged on the same rows.

They can where they learned from the same data version, split alike: its test part taught neither of them, and
is made again from what each version's folder keeps of its settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from raypipe.config.settings import Config
from raypipe.core.errors import DataError, RaypipeError
from raypipe.core.ids import Json
from raypipe.data.config import SplitSettings
from raypipe.data.versions import ENDPOINT, DataVersion, readable
from raypipe.processing.config import DeduplicateSettings
from raypipe.registry.models import removal_of
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.stats.intervals import Interval
from raypipe.training.importance import Importance, read_importance
from raypipe.training.leaderboard import Leaderboard

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.training.compare import Comparison
    from raypipe.training.task import Task


@dataclass(frozen=True)
class Side:
    """A version as the leaderboard of its run has it."""

    version: str
    family: str
    data_version: str
    created_at: datetime
    params: Mapping[str, Json]
    metric: str
    test: Interval
    n_test_rows: int
    predict_us: float
    """Median microseconds of one call that predicts one row."""
    size_bytes: int
    train_s: float

    @staticmethod
    def of(model: ModelVersion) -> Side:
        board = Leaderboard.from_json(model.metrics)
        best = board.best
        return Side(
            model.version,
            model.family,
            model.data_version,
            model.created_at,
            best.params,
            board.metric,
            best.test,
            board.n_test_rows,
            best.predict_us,
            best.size_bytes,
            best.train_s,
        )

    def to_json(self) -> dict[str, Json]:
        return {
            **self.__dict__,
            "created_at": self.created_at.isoformat(),
            "params": dict(self.params),
            "test": self.test.to_json(),
        }


@dataclass(frozen=True)
class ParamDifference:
    """A parameter that differs; None on the side that has none of this name."""

    name: str
    before: Json
    after: Json


@dataclass(frozen=True)
class Beside:
    """Two versions side by side."""

    before: Side
    after: Side
    params: tuple[ParamDifference, ...]
    comparison: Comparison | None
    """The first as the champion, the second as the challenger, on the same rows; None where none do."""
    not_judged: str
    """Why there is no comparison; empty where there is one."""
    importance: Importance | None
    """That of the second, with what columns were worth to the first; None where either was not measured."""

    def to_json(self) -> Json:
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "params": [dict(one.__dict__) for one in self.params],
            "comparison": None if self.comparison is None else self.comparison.to_json(),
            "not_judged": self.not_judged,
            "importance": None if self.importance is None else self.importance.to_json(),
        }


@dataclass(frozen=True)
class _Part:
    """What the test part of a version follows from."""

    split: SplitSettings
    time: str | None
    seed: int
    deduplicate: DeduplicateSettings | None


def beside(config: Config, registry: Registry, before: ModelVersion, after: ModelVersion) -> Beside:
    """Put two versions side by side; the rows of their data version are read where they judge both."""
    sides = Side.of(before), Side.of(after)
    comparison, why = _judged(config, registry, before, after)
    return Beside(*sides, _params(*sides), comparison, why, _importance(config, before, after))


def _params(before: Side, after: Side) -> tuple[ParamDifference, ...]:
    names = sorted(before.params.keys() | after.params.keys())
    pairs = (ParamDifference(name, before.params.get(name), after.params.get(name)) for name in names)
    return tuple(one for one in pairs if one.before != one.after)


def _importance(config: Config, before: ModelVersion, after: ModelVersion) -> Importance | None:
    was, now = (read_importance(config.folder.model(one.version)) for one in (before, after))
    if was is None or now is None or was.metric != now.metric:
        return None
    return now.compared_with(before.version, was)


def _judged(
    config: Config, registry: Registry, before: ModelVersion, after: ModelVersion
) -> tuple[Comparison | None, str]:
    from raypipe.serving.judging import answers_to
    from raypipe.training.compare import compare

    try:
        task = _common_task(config, before, after)
        rows, seed = _test_rows(config, registry, before, after)
    except RaypipeError as error:
        return None, str(error)
    answers = [answers_to(rows, task, config.folder.model(one.version), one) for one in (before, after)]
    return compare(task, task.encode(rows[task.label]), *answers, seed=seed), ""


def _common_task(config: Config, before: ModelVersion, after: ModelVersion) -> Task:
    from raypipe.registry.manifest import read_manifest
    from raypipe.training.task import Task

    for one in (before, after):
        if one.removed_at is not None:
            raise DataError(f"{one.version} {removal_of(one)}")
    was, now = (
        Task.from_json(read_manifest(config.folder.model(one.version), one.manifest_sha256).task)
        for one in (before, after)
    )
    if (was.label, was.kind, was.metric) != (now.label, now.kind, now.metric):
        said = " and ".join(f"{one.metric} of {one.label!r} ({one.kind})" for one in (was, now))
        raise DataError(f"they are judged by {said}")
    return now


def _test_rows(
    config: Config, registry: Registry, before: ModelVersion, after: ModelVersion
) -> tuple[pa.Table, int]:
    """Return the rows that judged both, and the seed of their intervals."""
    if before.data_version != after.data_version:
        raise DataError(
            f"{before.version} learned from {before.data_version} and {after.version} from "
            f"{after.data_version}: rows that test one may have taught the other"
        )
    data = readable(registry.data_versions(config.name), after.data_version)
    if any(one.source == ENDPOINT for one in data.fragments):
        raise DataError(f"{data.id} holds live rows, of which each retrain chose others to judge by")
    was, now = (_part(config, one) for one in (before, after))
    if was != now:
        raise DataError(f"they split {data.id} otherwise (data.split, data.time, training.seed, deduplicate)")
    rows = _remade(config, data, now)
    for side in (Side.of(before), Side.of(after)):
        if side.n_test_rows != rows.num_rows:
            raise DataError(
                f"{side.version} was judged on {side.n_test_rows:,} rows of {data.id}, of which "
                f"{rows.num_rows:,} are left"
            )
    return rows, now.seed


def _part(config: Config, model: ModelVersion) -> _Part:
    from raypipe.serving.package import SETTINGS_NAME

    kept: Any = json.loads((config.folder.model(model.version) / SETTINGS_NAME).read_bytes())
    deduplicate = kept["processing"]["deduplicate"]
    return _Part(
        SplitSettings.model_validate(kept["data"]["split"]),
        kept["data"]["time"],
        int(kept["training"]["seed"]),
        None if deduplicate is None else DeduplicateSettings.model_validate(deduplicate),
    )


def _remade(config: Config, data: DataVersion, part: _Part) -> pa.Table:
    import numpy as np

    from raypipe.data.blocks import StoredRows, blocks_of
    from raypipe.training.preparing_files import cut_version

    blocks = blocks_of(config.folder, data)
    cut = cut_version(
        config.folder,
        data,
        blocks,
        split=part.split,
        time=part.time,
        seed=part.seed,
        deduplicate=part.deduplicate,
    )
    names = [column.name for column in data.columns]
    return StoredRows(blocks, data.columns, cut.test, names).take(np.arange(len(cut.test)))
