"""Replicas and trials never hold more CPUs than there are."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError
from raypipe.runtime.resources import plan
from raypipe.serving.config import ReplicaSettings, ServingSettings
from raypipe.training.config import TrialResources
from raypipe.training.trials import Trials


def planned(
    n_cpus: float,
    *,
    n_replicas: int = 1,
    replica_cpus: float = 0.2,
    cpus: float | Literal["auto"] = "auto",
    max_concurrent: int | Literal["auto"] = "auto",
) -> Trials:
    return plan(
        n_cpus,
        ServingSettings(replicas=ReplicaSettings(max=n_replicas, cpus=replica_cpus)),
        TrialResources(cpus=cpus, max_concurrent=max_concurrent),
    )


@pytest.mark.parametrize(
    ("n_cpus", "n_replicas", "replica_cpus", "expected"),
    [
        (2, 1, 0.2, Trials(0.9, 2)),
        (1, 1, 0.2, Trials(0.8, 1)),
        (2, 2, 0.5, Trials(1.0, 1)),
        (2, 1, 0.9, Trials(1.0, 1)),
        (4, 2, 1.0, Trials(1.0, 2)),
        (16, 1, 0.2, Trials(0.9875, 16)),
        (2, 3, 0.6, Trials(0.2, 1)),
    ],
)
def test_auto(n_cpus: float, n_replicas: int, replica_cpus: float, expected: Trials) -> None:
    assert planned(n_cpus, n_replicas=n_replicas, replica_cpus=replica_cpus) == expected


def test_fixed_cpus() -> None:
    assert planned(8, cpus=2) == Trials(2, 3)
    assert planned(8, cpus=2, max_concurrent=2) == Trials(2, 2)
    assert planned(8, cpus=2, max_concurrent=9) == Trials(2, 3)


def test_fixed_concurrency() -> None:
    assert planned(8, max_concurrent=2) == Trials(1.0, 2)
    assert planned(2, max_concurrent=4) == Trials(0.45, 4)


def test_replicas_that_take_everything() -> None:
    with pytest.raises(ConfigError, match=r"0\.1 of the 2 CPUs .* Got max 4 x cpus 0\.5 = 2; lower it"):
        planned(2, n_replicas=4, replica_cpus=0.5)


def test_a_trial_that_does_not_fit() -> None:
    with pytest.raises(
        ConfigError, match=r"cpus must be <= 1\.8, .* the 2 CPUs less the 0\.2 .* Got 2; lower"
    ):
        planned(2, cpus=2)


@given(
    n_cpus=st.floats(1, 256),
    n_replicas=st.integers(1, 50),
    replica_cpus=st.floats(0.01, 4),
    cpus=st.just("auto") | st.floats(0.01, 8),
    max_concurrent=st.just("auto") | st.integers(1, 300),
)
def test_it_adds_up(
    n_cpus: float,
    n_replicas: int,
    replica_cpus: float,
    cpus: float | Literal["auto"],
    max_concurrent: int | Literal["auto"],
) -> None:
    try:
        trials = planned(
            n_cpus,
            n_replicas=n_replicas,
            replica_cpus=replica_cpus,
            cpus=cpus,
            max_concurrent=max_concurrent,
        )
    except ConfigError:
        return
    assert trials.max_concurrent >= 1
    assert trials.cpus_per_trial > 0
    held = n_replicas * replica_cpus + trials.max_concurrent * trials.cpus_per_trial
    assert held <= n_cpus + 1e-4 * (trials.max_concurrent + 2)
