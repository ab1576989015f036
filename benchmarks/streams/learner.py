"""One learner for all policies: boosted trees, untuned, on as many of the newest rows as history has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raypipe.backtest.learner import Fit, Learner, Windows
from raypipe.backtest.stream import Stream
from raypipe.config.settings import Config
from raypipe.data.split import Cut

N_SCORED = 500


class WindowLearner(Learner):
    """Learns from the newest rows alone, all but those that judge; there is nothing to choose.

    `graded`: the first champion's newest rows are kept to grade it, as what is watched must be graded.
    """

    def __init__(self, stream: Stream, config: Config, *, graded: bool) -> None:
        super().__init__(stream, config, windows=lambda n: (n,))
        self._graded = graded

    def first(self) -> Fit:
        if not self._graded and 0 not in self._kept:
            n = self._stream.n_history
            self._kept[0] = self._learn(_all(n), n, self._raced(), self._windows)
        return super().first()

    def _raced(self) -> tuple[str, ...]:
        return ("boosted",)

    def _learn(self, cut: Cut, n_known: int, families: Sequence[str], windows: Windows) -> Fit:
        """Learn from the window; the rows that score the one candidate are among them, and choose nothing."""
        del families
        trained = np.sort(np.concatenate([cut.train, cut.validation]))[-self._stream.n_history :]
        own = replace(cut, train=trained, validation=trained[-N_SCORED:])
        return super()._learn(own, n_known, self._raced(), windows)


def _all(n: int) -> Cut:
    places = np.arange(n)
    return Cut(places, places[:0], places[:0], "time", ())
