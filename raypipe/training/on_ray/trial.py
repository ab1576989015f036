"""One trial in a Tune worker."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune

from raypipe.core.background import in_background
from raypipe.training.config import TrainingSettings
from raypipe.training.family import Family, ParamValue, Terms
from raypipe.training.models import load_model
from raypipe.training.race import TrainingSet
from raypipe.training.search import N_RUNGS, chosen
from raypipe.training.trial import RungReport, run_trial


def trainable(
    data: TrainingSet, families: Mapping[str, Family], settings: TrainingSettings, cpus: float
) -> Any:
    """Return the trial as Tune takes it, with its rows in the object store once."""
    gpus = settings.resources.gpus
    bound = tune.with_parameters(
        _run_trial,
        data=data,
        families=families,
        seed=settings.seed,
        n_threads=max(1, math.floor(cpus)),
        gpu=gpus > 0,
    )
    return tune.with_resources(bound, {"cpu": cpus, **({"gpu": gpus} if gpus else {})})


def _run_trial(
    config: dict[str, ParamValue],
    data: TrainingSet,
    families: Mapping[str, Family],
    seed: int,
    n_threads: int,
    gpu: bool,
) -> None:
    """Run in a Tune worker; only the chosen family's library is imported."""
    in_background()
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    name, params = chosen(config)
    family = families[name]
    terms = Terms(N_RUNGS if family.in_parts else 1, seed, n_threads, gpu)
    from_ = None if data.recipe is None else data.recipe.start
    start = None if from_ is None else load_model(from_.folder, from_.format)
    run_trial(family, params, data, terms, timer=time.perf_counter, report=_report, start=start)


def _report(report: RungReport) -> None:
    metrics = {name: value for name, value in vars(report).items() if name != "model"}
    if report.model is None:
        tune.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        report.model.save(Path(folder))
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
