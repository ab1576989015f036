"""The race over a Ray cluster: Ray Tune runs the trials, optuna proposes, successive halving stops."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raypipe.core.files import storage_errors
from raypipe.core.progress import Progress, silent
from raypipe.stats.metrics import METRICS
from raypipe.training.config import TrainingSettings
from raypipe.training.family import ParamValue, Terms, family_of
from raypipe.training.leaderboard import BASELINE
from raypipe.training.race import Candidate, RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import (
    N_RUNGS,
    REDUCTION,
    check_learnable,
    chosen,
    first_points,
    next_family,
    suggest,
)
from raypipe.training.standings import (
    Standing,
    best_of_families,
    candidate_of,
    no_model,
    progress_of,
    reason_of,
)
from raypipe.training.task import Task
from raypipe.training.trial import RungReport, run_trial

_SCRATCH = "search"
_CANDIDATES = "candidates"
_N_RANDOM_TRIALS = 5
"""The defaults and four at random; of ten trials, optuna's usual ten would leave none to learn from."""
_TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "3600",
}
"""Quiet, no log files of trials, Ctrl-C ends the race at once, no snapshots (nothing resumes them)."""


def race(
    data: TrainingSet,
    settings: TrainingSettings,
    *,
    folder: Path,
    cpus_per_trial: float,
    max_concurrent: int,
    progress: Progress = silent,
) -> RaceResult:
    """Search over the families on the Ray that the caller has joined; keep each family's best in `folder`.

    The baseline runs beside, outside the budget. Ends at the first of the two budgets; trials that are
    under way then are stopped, and their best so far counts. On many nodes `folder` must be shared.
    Raises TrainingError where no trial produced a model, LabelError where none could.
    """
    check_learnable(data)
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        found = _search(data, settings, scratch, cpus_per_trial, max_concurrent, progress)
        best = best_of_families(found, METRICS[data.task.metric])
        if not best:
            raise no_model(found, settings.budget.minutes)
        kept = _kept((*best, _baseline(data, settings.seed, scratch)), folder / _CANDIDATES)
        return RaceResult(kept, tuple(standing.summary for standing in found))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def _search(
    data: TrainingSet,
    settings: TrainingSettings,
    scratch: Path,
    cpus_per_trial: float,
    max_concurrent: int,
    progress: Progress,
) -> tuple[Standing, ...]:
    mode = "max" if METRICS[data.task.metric].larger_is_better else "min"
    watcher = _Watcher(data, settings, progress)
    with _quiet():
        tune.Tuner(
            _trainable(data, settings, cpus_per_trial),
            tune_config=tune.TuneConfig(
                metric="score",
                mode=mode,
                num_samples=settings.budget.trials,
                search_alg=_searcher(data, settings, mode),
                scheduler=HalvingByFamily(settings.families, mode),
                max_concurrent_trials=max_concurrent,
                time_budget_s=settings.budget.minutes * 60,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch.resolve()),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                callbacks=[watcher],
                verbose=0,
            ),
        ).fit()
    return tuple(_standing(number, trial) for number, trial in enumerate(watcher.trials, start=1))


def _trainable(data: TrainingSet, settings: TrainingSettings, cpus: float) -> Any:
    """Return the trial as Tune takes it, with its rows in the object store once."""
    gpus = settings.resources.gpus
    bound = tune.with_parameters(
        _run_trial, data=data, seed=settings.seed, n_threads=max(1, math.floor(cpus)), gpu=gpus > 0
    )
    return tune.with_resources(bound, {"cpu": cpus, **({"gpu": gpus} if gpus else {})})


def _run_trial(
    config: dict[str, ParamValue], data: TrainingSet, seed: int, n_threads: int, gpu: bool
) -> None:
    """Run in a Tune worker; only the chosen family's library is imported."""
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    name, params = chosen(config)
    family = family_of(name)
    terms = Terms(N_RUNGS if family.in_parts else 1, seed, n_threads, gpu)
    run_trial(family, params, data, terms, timer=time.perf_counter, report=_report)


def _report(report: RungReport) -> None:
    metrics = {name: value for name, value in vars(report).items() if name != "model"}
    if report.model is None:
        tune.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        report.model.save(Path(folder))
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def _folder_name(trial: Trial) -> str:
    return str(trial.trial_id)


class SearchByFamily(Searcher):  # type: ignore[misc]  # Ray is untyped here
    """Asks the families in turn; each learns from its own trials alone.

    One study of all would split their trials together into good and bad, and so learn nothing within a
    family whose trials are all better, or all worse, than the others'.
    """

    def __init__(self, of_family: Mapping[str, Searcher], task: Task, mode: str) -> None:
        super().__init__(metric="score", mode=mode)
        self._of_family = of_family
        self._task = task
        self._n_trials = dict.fromkeys(of_family, 0)
        self._of_trial: dict[str, Searcher] = {}

    def suggest(self, trial_id: str) -> dict[str, ParamValue] | None:
        if trial_id not in self._of_trial:
            family = next_family(self._n_trials, self._task)
            self._n_trials[family] += 1
            self._of_trial[trial_id] = self._of_family[family]
        params: dict[str, ParamValue] | None = self._of_trial[trial_id].suggest(trial_id)
        return params

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._of_trial[trial_id].on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._of_trial[trial_id].on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing, as nothing resumes a race."""


def _searcher(data: TrainingSet, settings: TrainingSettings, mode: str) -> Searcher:
    of_family: dict[str, Searcher] = {
        name: _parzen(name, data, settings.seed, mode) for name in settings.families
    }
    return SearchByFamily(of_family, data.task, mode)


def _parzen(family: str, data: TrainingSet, seed: int, mode: str) -> Searcher:
    """Return a seeded tree-structured Parzen estimator; imported here, as the workers do without it."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearch(
        partial(suggest, family=family, task=data.task, windows=data.windows),
        metric="score",
        mode=mode,
        points_to_evaluate=first_points(family, data.task, data.windows),
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_N_RANDOM_TRIALS),
    )


class HalvingByFamily(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped here
    """Asynchronous successive halving (Li et al. 2020) within each family.

    A rung of one family says nothing about a rung of another: 20 trees are no share of an epoch.
    """

    def __init__(self, families: Sequence[str], mode: str) -> None:
        super().__init__()
        self._of_family: dict[str, TrialScheduler] = {
            name: _halving(mode) for name in families if family_of(name).in_parts
        }

    def _of(self, trial: Trial) -> TrialScheduler:
        return self._of_family.get(chosen(trial.config)[0], _NEVER_STOPS)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return str(self._of(trial).on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_remove(tune_controller, trial)


_NEVER_STOPS = FIFOScheduler()


def _halving(mode: str) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr="rung", metric="score", mode=mode, max_t=N_RUNGS, grace_period=1, reduction_factor=REDUCTION
    )


class _Watcher(tune.Callback):  # type: ignore[misc]  # Ray is untyped here
    """Tells the progress, and remembers the trials."""

    def __init__(self, data: TrainingSet, settings: TrainingSettings, progress: Progress) -> None:
        self.trials: list[Trial] = []
        self._metric = METRICS[data.task.metric]
        self._n_trials = settings.budget.trials
        self._progress = progress

    def on_step_end(self, trials: list[Trial], **_: Any) -> None:
        self.trials = list(trials)

    def on_trial_complete(self, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._tell(trials, trial)

    def on_trial_error(self, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self._tell(trials, trial)

    def _tell(self, trials: list[Trial], trial: Trial) -> None:
        ended = [
            _standing(number, one)
            for number, one in enumerate(trials, start=1)
            if one is trial or one.is_finished()
        ]
        latest = _standing(trials.index(trial) + 1, trial)
        self._progress(progress_of(ended, latest, self._n_trials, self._metric))


def _standing(number: int, trial: Trial) -> Standing:
    family, params = chosen(trial.config)
    last = trial.last_result or {}
    rung, n_rungs = int(last.get("rung", 0)), N_RUNGS if family_of(family).in_parts else 1
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
    )
    checkpoint = trial.checkpoint
    return Standing(summary, str(last.get("format", "")), Path(checkpoint.path) if checkpoint else None)


def _kept(best: Sequence[Standing], folder: Path) -> tuple[Candidate, ...]:
    """Copy the models out of the scratch folder; a reader of `folder` sees all of them or none."""
    staged = folder.with_name(f".{folder.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    with storage_errors(folder):
        for standing in best:
            if standing.folder is not None:
                shutil.copytree(standing.folder, staged / standing.summary.family)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    return tuple(candidate_of(standing, folder / standing.summary.family) for standing in best)


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
