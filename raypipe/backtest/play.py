"""Policies played over the same recorded rows: what each learned from, when, and what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from raypipe.backtest.learner import Fit, Learner
from raypipe.backtest.loop import RecordedLoop
from raypipe.backtest.policies import Policy
from raypipe.backtest.stream import Stream
from raypipe.backtest.traffic import RecordedTraffic, RowTexts
from raypipe.config.settings import Config
from raypipe.control.receipts import Receipt, receipts
from raypipe.core.errors import RaypipeError
from raypipe.core.progress import Progress, Step, silent
from raypipe.policy.config import RetrainingSettings
from raypipe.training.compare import aligned
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """What a version answered to the rows of one look, in the terms of its own task."""

    raw: Floats
    task: Task


@dataclass(frozen=True)
class Played:
    """What became of one policy."""

    name: str
    answered: tuple[Answered, ...]
    fits: tuple[Fit, ...]
    """All that it made, the first champion first."""
    fitted_at: tuple[datetime, ...]
    """When each was made but the first, in the rows' time."""
    n_failed: int = 0
    """Retrains that made no version."""
    decisions: tuple[Receipt, ...] | None = None
    """Of the loop, the receipts of its decisions; None for what decides nothing."""

    @property
    def n_fits(self) -> int:
        """How many fits followed the first."""
        return len(self.fits) - 1

    @property
    def cpu_s(self) -> float:
        """What those fits took."""
        return sum(fit.cpu_s for fit in self.fits[1:])

    def values(self, task: Task) -> Floats:
        """Return all answers in the terms of a task, in the order of the rows."""
        return np.concatenate([aligned(one.raw, one.task, task) for one in self.answered])


class Player:
    """Plays policies over the rows of a stream, which all begin with the same champion."""

    def __init__(self, stream: Stream, learner: Learner, config: Config, progress: Progress = silent) -> None:
        self._stream = stream
        self._learner = learner
        self._config = config
        self._progress = progress
        self._texts = RowTexts(stream, config.data.label_name)

    def loop(self, settings: RetrainingSettings, name: str = "loop") -> Played:
        """Play the controller under a policy."""
        stream, answered = self._stream, list[Answered]()
        traffic = RecordedTraffic(stream, self._texts, self._config.monitoring)
        seed = self._config.training.seed
        loop = RecordedLoop(self._config.name, stream, self._learner, settings, traffic, seed)
        self._say(name)
        for start, end in stream.looks:
            answered.append(_answered(loop.champion, stream, start, end))
            loop.look(start, end, answered[-1].raw)
        decided = receipts(loop.facts, self._config.name)
        return Played(
            name,
            tuple(answered),
            tuple(loop.fits.values()),
            tuple(one.decided_at for one in decided if one.version is not None),
            n_failed=sum(one.version is None for one in decided),
            decisions=decided,
        )

    def beside(self, policy: Policy) -> Played:
        """Play a policy that releases whatever it learns."""
        stream, fits, answered = self._stream, [self._learner.first()], list[Answered]()
        fitted_at, losses, n_failed = list[datetime](), list[float](), 0
        self._say(policy.name)
        for look, (start, end) in enumerate(stream.looks):
            n_known = stream.known(start)
            known = losses[: self._n_labelled_looks(n_known)]
            if policy.is_due(look, known) and n_known > max(fits[-1].n_known, stream.n_history + 1):
                try:
                    fits.append(self._learner.plain(n_known))
                    fitted_at.append(stream.at(start - 1))
                except RaypipeError:
                    n_failed += 1
            answered.append(_answered(fits[-1], stream, start, end))
            losses.append(self._loss(answered[-1], start, end))
        return Played(policy.name, tuple(answered), tuple(fits), tuple(fitted_at), n_failed)

    def _n_labelled_looks(self, n_known: int) -> int:
        return int(np.searchsorted(np.array(self._stream.ends), n_known, side="right"))

    def _loss(self, answered: Answered, start: int, end: int) -> float:
        """Return the share of wrong classes, or the mean absolute error."""
        labels = self._stream.rows[self._config.data.label_name].slice(start, end - start).to_pylist()
        if not answered.task.classes:
            return float(np.abs(answered.raw - np.array(labels, np.float64)).mean())
        given = [answered.task.classes[code] for code in answered.raw.argmax(axis=1)]
        return float(np.mean([one != label for one, label in zip(given, labels, strict=True)]))

    def _say(self, name: str) -> None:
        looks = len(self._stream.ends)
        self._progress(Step("backtest", f"{name}: {looks} looks"))


def _answered(fit: Fit, stream: Stream, start: int, end: int) -> Answered:
    return Answered(fit.answers(stream.rows.slice(start, end - start)), fit.prepared.task)


def answered_by_all(played: Sequence[Played], task: Task) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Return each policy's answers, and which rows all of them answered with finite numbers."""
    values = {one.name: one.values(task) for one in played}
    finite = [np.isfinite(given.reshape(len(given), -1).sum(axis=1)) for given in values.values()]
    return values, np.logical_and.reduce(finite)
