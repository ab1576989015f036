"""The fit of a backtest: prepare, encode and train as a run does, in this process, without a search."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from raypipe.backtest.stream import Stream
from raypipe.config.settings import Config
from raypipe.core.errors import TrainingError
from raypipe.data.growth import cut_grown
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.profile import Profile
from raypipe.data.split import Cut, Split, cut_rows
from raypipe.serving.predictor import Predictor
from raypipe.stats.metrics import METRICS
from raypipe.training.encoding import training_set
from raypipe.training.family import Family, Params, Terms, family_of
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import Float64Array, Model, load_model
from raypipe.training.own.families import families_of
from raypipe.training.prepared import Prepared, windows_of
from raypipe.training.preparing import prepared_rows
from raypipe.training.race import TrainingSet
from raypipe.training.search import N_RECENT, N_RUNGS, check_learnable, defaults
from raypipe.training.trial import RungReport, run_trial

Windows = Callable[[int], tuple[int, ...]]


@dataclass(frozen=True)
class Fit:
    """What one fit made, and of which rows; rows are meant by their places in the stream."""

    predictor: Predictor
    prepared: Prepared
    family: str
    params: Mapping[str, str | int | float | bool]
    n_known: int
    """So many of the oldest rows had labels; its data version holds them all."""
    cut: Cut
    """Which rows trained, chose and judge."""
    cpu_s: float

    def answers(self, rows: pa.Table) -> Float64Array:
        """Return probabilities, shape (n_rows, n_classes), or values, shape (n_rows,)."""
        return self.predictor.model.predict(self.predictor.transform.transform_table(rows))


class Learner:
    """Learns from the rows whose labels are known, by the settings of a config.

    Each family is tried at its defaults, with each number of the newest rows that `windows` gives for how
    many there are; the validation rows choose.
    """

    def __init__(
        self, stream: Stream, config: Config, *, windows: Windows = windows_of, every_family: bool = False
    ) -> None:
        self._stream = stream
        self._config = config
        self._windows = windows
        self._families: Mapping[str, Family] = {
            **families_of(config.training, config.root.root / "none"),
            BASELINE: family_of(BASELINE),
        }
        self._every_family = every_family
        self._kept: dict[int, Fit] = {}

    def first(self) -> Fit:
        """Learn the first champion from the rows that are history, split as a run splits them."""
        n, config = self._stream.n_history, self._config
        if 0 not in self._kept:
            history = self._stream.rows.slice(0, n)
            cut = cut_rows(history[_time(config)], n, config.data.split, seed=config.training.seed)
            self._kept[0] = self._learn(cut, n, tuple(self._families), lambda n_rows: (n_rows,))
        return self._kept[0]

    def again(self, n_known: int, champion: Fit) -> Fit:
        """Learn a challenger as a retrain does: the newest rows that the champion never saw judge it.

        Raises DataError where these are too few, LabelError and TrainingError.
        """
        keys = pa.table({ID_COLUMN: self._ids(n_known), AT_COLUMN: self._at(n_known)})
        seen = frozenset(map(str, range(self._stream.n_history, champion.n_known)))
        cut = cut_grown(
            keys,
            self._config.data.split,
            max_rows=self._config.retraining.gate.max_rows,
            seen=seen,
            time=None,
        )
        return self._learn(cut, n_known, self._raced(), self._windows)

    def plain(self, n_known: int) -> Fit:
        """Learn from all rows with labels; the newest choose, as in `again`, and none is kept to judge.

        The same rows are learned from once, whoever asks.
        """
        if n_known not in self._kept:
            n_new = n_known - self._stream.n_history
            share = self._config.data.split.validation
            n_chosen = min(self._config.retraining.gate.max_rows, max(1, round(n_new * share)))
            places = np.arange(n_known)
            cut = Cut(places[:-n_chosen], places[-n_chosen:], places[:0], "time", ())
            self._kept[n_known] = self._learn(cut, n_known, self._raced(), self._windows)
        return self._kept[n_known]

    def _raced(self) -> tuple[str, ...]:
        return tuple(self._families) if self._every_family else (self.first().family,)

    def _ids(self, n_known: int) -> pa.Array:
        n = self._stream.n_history
        return pa.array([None] * n + list(map(str, range(n, n_known))), pa.string())

    def _at(self, n_known: int) -> pa.Array:
        return pa.array(self._stream.times[:n_known]).cast(pa.timestamp("us", tz="UTC"))

    def _learn(self, cut: Cut, n_known: int, families: Sequence[str], windows: Windows) -> Fit:
        started = time.process_time()
        split = cut.of(self._stream.rows)
        prepared = self._prepared(split, n_known, windows)
        data = training_set(prepared, "local", Path())
        check_learnable(data)
        best = self._best(data, families)
        predictor = Predictor(prepared.transform, prepared.task, best.model)
        spent_s = time.process_time() - started
        return Fit(predictor, prepared, best.family, best.params, n_known, cut, spent_s)

    def _prepared(self, split: Split, n_known: int, windows: Windows) -> Prepared:
        config, names = self._config, [column.name for column in self._stream.columns]
        prepared = prepared_rows(
            self._stream.rows[config.data.label_name].slice(0, n_known),
            split,
            Profile.of_table(split.train.take(np.arange(split.train.num_rows)), names),
            self._stream.columns,
            data=config.data,
            processing=config.processing,
            training=config.training,
        )
        return replace(prepared, windows=windows(split.train.num_rows))

    def _best(self, data: TrainingSet, families: Sequence[str]) -> _Trained:
        metric, seed, reasons = METRICS[data.task.metric], self._config.training.seed, list[str]()
        best: _Trained | None = None
        for name in families:
            for window in data.windows:
                params = {**defaults(self._families[name], data.task), N_RECENT: window}
                try:
                    found = _trained(self._families[name], params, data, seed)
                except TrainingError as error:
                    reasons.append(f"{name}: {error}")
                    continue
                if best is None or metric.gain(found.score, best.score) > 0:
                    best = found
        if best is None:
            raise TrainingError(f"no family could be trained: {'; '.join(reasons)}")
        return best


@dataclass(frozen=True)
class _Trained:
    family: str
    params: Params
    score: float
    model: Model


def _trained(family: Family, params: Params, data: TrainingSet, seed: int) -> _Trained:
    """Train to the end, and return the model of the best rung."""
    terms = Terms(N_RUNGS if family.in_parts else 1, seed, n_threads=1)
    with tempfile.TemporaryDirectory(prefix="raypipe-backtest-") as place:
        kept = _BestRung(Path(place), in_parts=family.in_parts)
        run_trial(family, params, data, terms, timer=time.process_time, report=kept.take)
        return _Trained(family.name, params, kept.score, kept.model())


class _BestRung:
    """Keeps the model of the best rung, which may change in memory when training goes on."""

    def __init__(self, place: Path, *, in_parts: bool) -> None:
        self._place = place
        self._in_parts = in_parts
        self._best: Model | None = None
        self._n_saved = 0
        self.score = float("nan")

    def take(self, report: RungReport) -> None:
        self.score = report.score
        if report.model is None:
            return
        self._best = report.model
        if self._in_parts:
            self._n_saved += 1
            folder = self._place / str(self._n_saved)
            folder.mkdir()
            report.model.save(folder)

    def model(self) -> Model:
        if self._best is None:
            raise TrainingError("no rung made a model.")
        if not self._in_parts:
            return self._best
        return load_model(self._place / str(self._n_saved), self._best.format)


def _time(config: Config) -> str:
    assert config.data.time is not None
    return config.data.time
