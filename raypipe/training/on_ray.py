"""The race over a Ray cluster: Ray Tune runs the trials, optuna proposes, successive halving stops."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from raypipe.core.errors import TrainingError
from raypipe.core.progress import Progress, Step, silent
from raypipe.stats.metrics import METRICS
from raypipe.training.config import TrainingSettings
from raypipe.training.family import ParamValue, Terms, family_of
from raypipe.training.leaderboard import BASELINE
from raypipe.training.race import Candidate, RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import N_RUNGS, REDUCTION, check_learnable, chosen, first_points, suggest
from raypipe.training.standings import Standing, best_of_families, summary_of
from raypipe.training.trial import RungReport, run_trial

_STAGE = "train"
_SCRATCH = "search"
_CANDIDATES = "candidates"
_TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "3600",
}
"""Quiet, no log files for each trial, Ctrl-C ends the race at once, and no snapshots, as nothing resumes them."""


def race(
    data: TrainingSet,
    settings: TrainingSettings,
    *,
    folder: Path,
    cpus_per_trial: float,
    max_concurrent: int,
    progress: Progress = silent,
) -> RaceResult:
    """Search over the families on the Ray that the caller has joined, and keep each family's best in `folder`.

    The baseline runs beside, outside the budget. Ends at the first of the two budgets; trials that are
    under way then are stopped, and their best so far counts. On many nodes `folder` must be shared.
    Raises TrainingError where no trial produced a model, LabelError where none could.
    """
    check_learnable(data)
    scratch = folder / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        baseline = _baseline(data, scratch)
        found = _search(data, settings, scratch, cpus_per_trial, max_concurrent, progress)
        best = best_of_families((*found, baseline), METRICS[data.task.metric])
        if all(standing.family == BASELINE for standing in best):
            raise TrainingError(_no_model(found, settings))
        return RaceResult(_kept(best, folder / _CANDIDATES), tuple(map(summary_of, found)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
