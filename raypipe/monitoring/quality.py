"""Live quality: the task's own metric on the newest labelled rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.report import LiveQuality, VersionQuality
from raypipe.stats.bootstrap import bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

__all__ = ["JudgedTask", "LiveQuality", "live_quality", "row_losses"]

N_VERSIONS = 5
"""Of so many versions that answered last, a score is shown."""


class JudgedTask(Protocol):
    """What quality needs to know of a task; `raypipe.training.task.Task` is one."""

    @property
    def kind(self) -> str: ...

    @property
    def classes(self) -> Sequence[str | int | float | bool]:
        """The order of the probabilities; empty for regression."""
        ...

    @property
    def metric(self) -> str: ...


@dataclass(frozen=True)
class _Rows:
    """Labelled rows ready for a metric."""

    y: Target
    predictions: NDArray[np.float64]
    kept: NDArray[np.int64]
    """Where they are among all labelled rows."""
    n_left_out: int


def live_quality(
    rows: pa.Table, task: JudgedTask, settings: MonitoringSettings, *, version: str, seed: int
) -> LiveQuality | None:
    """Score the newest `window_labels` labelled rows that `version` answered.

    `rows` are those of `raypipe.monitoring.labels.join`. The newest rows are those answered last, whenever
    their label came: late and corrected labels do not make an old answer new. Rows in time order are
    resampled in blocks. None with fewer than `min_labels` usable rows. Earlier versions are scored where
    their answers fit the same task.
    """
    used = _usable(_newest(rows, version, settings.window_labels), task)
    n = len(used.y)
    if n < settings.min_labels:
        return None
    score = score_of(used.y, used.predictions, task.metric, seed=seed)
    return LiveQuality(
        metric=task.metric,
        value=_defined(score.value),
        low=_defined(score.low),
        high=_defined(score.high),
        n_labels=n,
        n_left_out=used.n_left_out,
        by_version=_by_version(rows, task, settings.window_labels),
    )


def score_of(y: Target, predictions: NDArray[np.float64], metric: str, *, seed: int) -> Interval:
    """Return the score of some rows, at least one, in their order; they are resampled in blocks.

    `y` has shape (n,), class codes or values; `predictions` are probabilities, (n, n_classes), or values.
    """
    scored, n = METRICS[metric].prepare(y, predictions), len(y)
    length = block_length([scored], n)
    draws = bootstrap([scored], n, seed=seed, block_length=length)
    low, high = percentile_interval(draws[:, 0], n_blocks=n_blocks_in(n, length))
    return Interval(METRICS[metric](y, predictions), low, high)


def row_losses(
    rows: pa.Table, task: JudgedTask, ranks: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return a loss in [0, 1] for each labelled row, NaN where its label is none that the task can use.

    For classification 1 for a wrong class; for regression the error's rank, as
    `raypipe.monitoring.harm.Release.ranks` gives it.
    """
    import numpy as np

    used = _usable(rows, task)
    losses = np.full(rows.num_rows, np.nan)
    if task.kind == "classification":
        losses[used.kept] = np.argmax(used.predictions, axis=1) != used.y
    else:
        losses[used.kept] = ranks(used.predictions - used.y)
    return losses


def _by_version(rows: pa.Table, task: JudgedTask, window: int) -> tuple[VersionQuality, ...]:
    import polars as pl

    versions = pl.Series(rows["version"]).reverse().unique(maintain_order=True).head(N_VERSIONS).to_list()
    found = ((version, _usable(_newest(rows, version, window), task)) for version in versions)
    return tuple(VersionQuality(version, _score(used, task.metric), len(used.y)) for version, used in found)


def _newest(rows: pa.Table, version: str, window: int) -> pa.Table:
    import pyarrow.compute as pc

    answered = rows.filter(pc.equal(rows["version"], version))
    return answered.slice(max(0, answered.num_rows - window))


def _usable(rows: pa.Table, task: JudgedTask) -> _Rows:
    return _classified(rows, task) if task.kind == "classification" else _amounts(rows)


def _classified(rows: pa.Table, task: JudgedTask) -> _Rows:
    import numpy as np

    texts = rows["label"].to_pylist()
    codes = {text: _code(json.loads(text), task) for text in set(texts)}
    n_classes = len(task.classes)
    kept = [
        (i, codes[text], given)
        for i, (text, given) in enumerate(zip(texts, rows["probabilities"].to_pylist(), strict=True))
        if codes[text] is not None and given is not None and len(given) == n_classes
    ]
    y = np.array([code for _, code, _ in kept], np.int64)
    probabilities = np.array([given for _, _, given in kept], np.float64).reshape(len(kept), n_classes)
    return _Rows(y, probabilities, _places(kept), len(texts) - len(kept))


def _code(label: object, task: JudgedTask) -> int | None:
    """Return the position of a class; `1` and `1.0` are one class, `true` and `1` are two."""
    for code, known in enumerate(task.classes):
        if known == label and isinstance(known, bool) == isinstance(label, bool):
            return code
    return None


def _amounts(rows: pa.Table) -> _Rows:
    import numpy as np

    texts = zip(rows["label"].to_pylist(), rows["prediction"].to_pylist(), strict=True)
    pairs = [(json.loads(label), json.loads(given)) for label, given in texts]
    kept = [(i, y, given) for i, (y, given) in enumerate(pairs) if _is_amount(y) and _is_amount(given)]
    y = np.array([y for _, y, _ in kept], np.float64)
    given = np.array([given for _, _, given in kept], np.float64)
    return _Rows(y, given, _places(kept), len(pairs) - len(kept))


def _places(kept: Sequence[tuple[int, object, object]]) -> NDArray[np.int64]:
    import numpy as np

    return np.array([i for i, _, _ in kept], np.int64)


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _score(used: _Rows, metric: str) -> float | None:
    return _defined(METRICS[metric](used.y, used.predictions)) if len(used.y) else None


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
