"""Who holds how many CPUs: replicas first, trials share the rest."""

from __future__ import annotations

from math import ceil

from raypipe.core.errors import ConfigError
from raypipe.serving.config import ServingSettings
from raypipe.training.config import TrialResources
from raypipe.training.trials import Trials

_UNITS = 10_000
"""Ray counts CPUs in steps of 1/10,000."""
_MIN_SHARE = 0.75
"""A trial more is worth it where each still gets so much of a CPU."""


def plan(n_cpus: float, serving: ServingSettings, trials: TrialResources) -> Trials:
    """Return how trials share the CPUs that the replicas, at their most, leave.

    On two CPUs with one replica of 0.2 these are two trials of 0.9. Raises ConfigError where it cannot fit.
    """
    replicas = serving.replicas
    reserved = _units(replicas.max * replicas.cpus)
    free = _units(n_cpus) - reserved
    if free < _units(0.1):
        raise ConfigError(
            f"serving.replicas must leave at least 0.1 of the {n_cpus:g} CPUs to training. Got max "
            f"{replicas.max} x cpus {replicas.cpus:g} = {reserved / _UNITS:g}; lower it, or add CPUs."
        )
    if trials.cpus == "auto":
        return _shared(free, trials)
    return _fixed(free, trials.cpus, trials, n_cpus, reserved)


def _shared(free: int, trials: TrialResources) -> Trials:
    n_trials = _trials_for(free / _UNITS) if trials.max_concurrent == "auto" else trials.max_concurrent
    share = max(1, min(free // n_trials, _UNITS))
    return Trials(share / _UNITS, n_trials)


def _trials_for(free: float) -> int:
    more = ceil(free)
    return more if free / more >= _MIN_SHARE else max(1, more - 1)


def _fixed(free: int, cpus: float, trials: TrialResources, n_cpus: float, reserved: int) -> Trials:
    fitting = free // _units(cpus)
    if fitting < 1:
        raise ConfigError(
            f"training.resources.cpus must be <= {free / _UNITS:g}, which is the {n_cpus:g} CPUs less the "
            f"{reserved / _UNITS:g} that replicas hold. Got {cpus:g}; lower it, or add CPUs."
        )
    wanted = fitting if trials.max_concurrent == "auto" else trials.max_concurrent
    return Trials(cpus, min(fitting, wanted))


def _units(n_cpus: float) -> int:
    return max(0, round(n_cpus * _UNITS))
