"""One trial anew, without a search: the model that it came to, by what is recorded of it."""

from __future__ import annotations

import math
import shutil
import time
from contextlib import suppress
from pathlib import Path

from raypipe.core.errors import TrainingError
from raypipe.training.config import TrialResources
from raypipe.training.family import Family, Params, Terms
from raypipe.training.models import Model, load_model
from raypipe.training.race import TrainingSet
from raypipe.training.search import N_RUNGS
from raypipe.training.trial import RungReport, run_trial


class _Reached(Exception):
    """The trial has come to where the recorded one had its best score."""


def terms_of(family: Family, resources: TrialResources, seed: int) -> Terms:
    """Return what a trial was given: by `auto` one thread, for a trial never has more than one CPU then."""
    n_threads = 1 if resources.cpus == "auto" else max(1, math.floor(resources.cpus))
    return Terms(N_RUNGS if family.in_parts else 1, seed, n_threads, resources.gpus > 0)


def learn_anew(
    family: Family, params: Params, data: TrainingSet, terms: Terms, folder: Path, *, score: float
) -> Model:
    """Train as the trial did, and return the model, whose files are in `folder`.

    It is that of the part whose validation score is the recorded one, as the trial may have ended there; if
    none has it, the best. Raises TrainingError.
    """
    from threadpoolctl import threadpool_limits

    best: list[RungReport] = []

    def keep(report: RungReport) -> None:
        if report.model is not None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            report.model.save(folder)
            best[:] = [report]
        if report.score == score:
            raise _Reached

    with threadpool_limits(terms.n_threads), suppress(_Reached):
        run_trial(family, params, data, terms, timer=time.perf_counter, report=keep)
    if not best or best[0].model is None:
        raise TrainingError(f"{family.name} made no model of these rows.")
    return load_model(folder, best[0].format) if family.in_parts else best[0].model
