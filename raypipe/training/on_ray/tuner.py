"""The race over a Ray cluster: Ray Tune runs the trials; each one that ends is kept at once."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from raypipe.core.progress import Progress, silent
from raypipe.stats.metrics import METRICS
from raypipe.training.config import TrainingSettings
from raypipe.training.family import Family, Terms, family_of
from raypipe.training.kept import EndedTrial, RunFolder
from raypipe.training.leaderboard import BASELINE
from raypipe.training.on_ray.proposals import scheduler, searcher
from raypipe.training.on_ray.trial import trainable
from raypipe.training.own.families import families_of
from raypipe.training.own.signature import key_near, make_key
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import N_RUNGS, check_learnable, chosen
from raypipe.training.standings import Standing, best_of_families, no_model, progress_of, reason_of
from raypipe.training.trial import RungReport, run_trial

_TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "3600",
}
"""Quiet, no log files of trials, Ctrl-C ends the race at once, no snapshots: `Tuner.restore` would unpickle
them, and run again whatever ended since the last one."""


def race(
    data: TrainingSet,
    settings: TrainingSettings,
    *,
    kept: RunFolder,
    cpus_per_trial: float,
    max_concurrent: int,
    progress: Progress = silent,
) -> RaceResult:
    """Search over the families on the Ray that the caller has joined; keep each family's best in `kept`.

    Trials that ended in an earlier attempt count towards both budgets, teach the search and are not run
    again; those that failed or were cut short are. The baseline runs beside, outside the budget. Ends at the
    first of the two budgets; trials that are under way then are stopped, and their best so far counts. On
    many nodes the folder must be shared. Raises TrainingError where no trial produced a model, LabelError
    where none could.
    """
    check_learnable(data)
    if data.recipe is not None:
        settings = settings.model_copy(update={"budget": settings.budget.model_copy(update={"trials": 1})})
    past = kept.trials()
    kept.search.mkdir(parents=True)
    try:
        families = _families(data, settings, kept)
        new = _search(data, families, settings, kept, past, cpus_per_trial, max_concurrent, progress)
        found = (*(one.standing for one in past), *new)
        best = best_of_families(found, METRICS[data.task.metric])
        if not best:
            raise no_model(found, settings.budget.minutes)
        best = (*best, _baseline(data, settings.seed, kept.search))
        return kept.keep_race(best, [standing.summary for standing in found])
    finally:
        shutil.rmtree(kept.search, ignore_errors=True)


def _baseline(data: TrainingSet, seed: int, scratch: Path) -> Standing:
    """Run the baseline here: it takes milliseconds, and no budget."""
    folder = scratch / BASELINE
    standings: list[Standing] = []

    def keep(report: RungReport) -> None:
        assert report.model is not None
        folder.mkdir()
        report.model.save(folder)
        summary = TrialSummary(BASELINE, BASELINE, {}, report.score, "finished", 1, report.train_s)
        standings.append(Standing(summary, report.model.format, folder))

    run_trial(family_of(BASELINE), {}, data, Terms(1, seed, 1), timer=time.perf_counter, report=keep)
    return standings[0]


def _families(data: TrainingSet, settings: TrainingSettings, kept: RunFolder) -> dict[str, Family]:
    """Return who races, or the one of a recipe; the home signs pickles where the settings allow some."""
    key = key_near(kept.path) if any(one.allow_pickle for one in settings.models.values()) else None
    if key is not None:
        make_key(key)
    families = families_of(settings, key)
    recipe = data.recipe
    return families if recipe is None else {recipe.family: recipe.family_in(families)}


def _search(
    data: TrainingSet,
    families: Mapping[str, Family],
    settings: TrainingSettings,
    kept: RunFolder,
    past: Sequence[EndedTrial],
    cpus_per_trial: float,
    max_concurrent: int,
    progress: Progress,
) -> tuple[Standing, ...]:
    """Return how the trials of this attempt ended."""
    n_trials = settings.budget.trials - len(past)
    spent_s = max((one.at_s for one in past), default=0.0)
    left_s = settings.budget.minutes * 60 - spent_s
    if n_trials <= 0 or left_s <= 0:
        return ()
    recipe = data.recipe
    fixed = {} if recipe is None else recipe.trial(families[recipe.family], data.task)
    mode = "max" if METRICS[data.task.metric].larger_is_better else "min"
    watcher = _Watcher(data, families, settings, kept, past, progress)
    with _quiet():
        tune.Tuner(
            trainable(data, families, settings, cpus_per_trial),
            param_space=fixed or None,
            tune_config=tune.TuneConfig(
                metric="score",
                mode=mode,
                num_samples=n_trials,
                search_alg=None if fixed else searcher(data, families, settings.seed, mode, past),
                scheduler=None if fixed else scheduler(families, mode, past),
                max_concurrent_trials=max_concurrent,
                time_budget_s=left_s,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(kept.search.resolve()),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                callbacks=[watcher],
                verbose=0,
            ),
        ).fit()
    return watcher.standings()


def _folder_name(trial: Trial) -> str:
    return str(trial.trial_id)


class _Watcher(tune.Callback):  # type: ignore[misc]  # Ray is untyped here
    """Keeps each trial that ends, tells the progress, and remembers the trials."""

    def __init__(
        self,
        data: TrainingSet,
        families: Mapping[str, Family],
        settings: TrainingSettings,
        kept: RunFolder,
        past: Sequence[EndedTrial],
        progress: Progress,
    ) -> None:
        self._families = families
        self._metric = METRICS[data.task.metric]
        self._n_trials = settings.budget.trials
        self._kept = kept
        self._past = past
        self._progress = progress
        self._spent_s = max((one.at_s for one in past), default=0.0)
        self._start_s = time.monotonic()
        self._trials: list[Trial] = []
        self._scores: dict[str, list[tuple[int, float]]] = {}
        self._over: list[Trial] = []
        self._ended: dict[str, Standing] = {}

    def on_step_end(self, trials: list[Trial], **_: Any) -> None:
        self._trials = list(trials)

    def on_trial_result(self, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        reported = (int(result["rung"]), float(result["score"]))
        self._scores.setdefault(trial.trial_id, []).append(reported)

    def on_trial_complete(self, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._end(trials, trial)

    def on_trial_error(self, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._end(trials, trial)

    def standings(self) -> tuple[Standing, ...]:
        """Return how the trials of this attempt ended, or stood when the time was over."""
        return tuple(self._standing(self._trials, trial) for trial in self._trials)

    def _end(self, trials: list[Trial], trial: Trial) -> None:
        latest = self._standing(trials, trial)
        if _ended_by_itself(latest, trial):
            at_s = self._spent_s + time.monotonic() - self._start_s
            scores = tuple(self._scores.get(trial.trial_id, ()))
            latest = self._kept.keep_trial(EndedTrial(latest, scores, at_s)).standing
            self._ended[trial.trial_id] = latest
        self._over.append(trial)
        over = [*(one.standing for one in self._past), *(self._standing(trials, one) for one in self._over)]
        self._progress(progress_of(over, latest, self._n_trials, self._metric))

    def _standing(self, trials: list[Trial], trial: Trial) -> Standing:
        if trial.trial_id in self._ended:
            return self._ended[trial.trial_id]
        last_past = max((one.number for one in self._past), default=0)
        number = last_past + trials.index(trial) + 1
        return _standing(number, trial, self._families, self._kept.attempt)


def _ended_by_itself(standing: Standing, trial: Trial) -> bool:
    """Tell a trial that ran to its end, or was behind, from one that failed or was cut short.

    What fails may do so as its worker died; what is cut short may have been about to win.
    """
    return standing.summary.status != "failed" and bool((trial.last_result or {}).get("done"))


def _standing(number: int, trial: Trial, families: Mapping[str, Family], attempt: int) -> Standing:
    family, params = chosen(trial.config)
    last = trial.last_result or {}
    rung, n_rungs = int(last.get("rung", 0)), N_RUNGS if families[family].in_parts else 1
    failed = trial.status == Trial.ERROR
    summary = TrialSummary(
        trial_id=f"t{number}",
        family=family,
        params=params,
        score=last.get("score"),
        status="failed" if failed else "finished" if rung == n_rungs else "stopped",
        rung=rung,
        train_s=float(last.get("train_s", 0.0)),
        reason=reason_of(str(trial.get_error() or "")) if failed else "",
        attempt=attempt,
        held_s=_held_s(trial),
    )
    checkpoint = trial.checkpoint
    return Standing(summary, str(last.get("format", "")), Path(checkpoint.path) if checkpoint else None)


def _held_s(trial: Trial) -> float:
    """Return for how long a trial has held its resources, one that never began for none."""
    begun_s = trial.run_metadata.start_time
    return 0.0 if begun_s is None else max(0.0, time.time() - begun_s)


@contextmanager
def _quiet() -> Iterator[None]:
    """Run Tune as a library that says nothing: its news come through `progress`, failures as summaries."""
    before = {name: os.environ.get(name) for name in _TUNE_ENVIRONMENT}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(_TUNE_ENVIRONMENT)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
