"""A classifier finds what no column shows by itself, and nothing where nothing changed."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift_evidence import Budget
from raypipe.monitoring.joint import MIN_SAMPLED, N_SAMPLED, Sample, told_apart
from raypipe.monitoring.life import Life
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.units import unit_factor


def rows(n: int, seed: int, together: float = 0.9) -> pa.Table:
    """Return two numbers, each normal, that go together so much, and others."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(n, 5))
    numbers[:, 1] = together * numbers[:, 0] + np.sqrt(1 - together**2) * numbers[:, 1]
    return pa.table({f"x{i}": numbers[:, i] for i in range(5)})


TRAINING = rows(5_000, seed=0)
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))
SAMPLE = Sample.of(REFERENCE, TRAINING, seed=0)


def test_what_goes_with_what_is_found_though_each_column_is_as_it_was() -> None:
    live = rows(2_000, seed=1, together=0.0)
    assert not any(one.drifted for one in Life().after(REFERENCE, live, 500).evidence(REFERENCE, Budget()))
    found = told_apart(SAMPLE, Sample.of(REFERENCE, live, seed=1), seed=1)
    assert found is not None and found.auc > 0.6 and found.p_value < 1e-6


def test_rows_as_in_training_are_not_told_apart() -> None:
    found = told_apart(SAMPLE, Sample.of(REFERENCE, rows(2_000, seed=2), seed=1), seed=1)
    assert found is not None and found.auc < 0.55 and found.p_value > 0.05


@pytest.mark.slow
def test_p_values_are_as_rare_as_they_say() -> None:
    def p_value(nth: int) -> float:
        pair = (Sample.of(REFERENCE, rows(400, 2 * nth + half), seed=nth) for half in (0, 1))
        found = told_apart(*pair, seed=nth)
        assert found is not None
        return found.p_value

    values = np.array([p_value(nth) for nth in range(300)])
    assert (values < 0.05).mean() <= 0.08
    assert (values < 0.2).mean() <= 0.25


def test_a_sample_is_bounded_and_kept_exactly() -> None:
    assert SAMPLE.bins.shape == (N_SAMPLED, 5)
    again = Sample.from_json(json.loads(json.dumps(SAMPLE.to_json())))
    assert (again.bins == SAMPLE.bins).all()
    for broken in (None, {"n_rows": 2, "n_columns": 5, "bins": "AAAA"}):
        with pytest.raises(ArtifactError):
            Sample.from_json(broken)


def test_too_few_rows_tell_nothing() -> None:
    few = Sample.of(REFERENCE, rows(MIN_SAMPLED - 1, seed=3), seed=0)
    assert told_apart(SAMPLE, few, seed=0) is None
    nothing = Sample.of(Reference(()), TRAINING, seed=0)
    assert told_apart(nothing, nothing, seed=0) is None


AMOUNTS = pa.table({"x": np.random.default_rng(4).lognormal(3, 0.8, 5_000)})
[AMOUNT] = Reference.of(Profile.of_table(AMOUNTS), schema_columns(AMOUNTS.schema)).columns


@pytest.mark.parametrize("factor", [100.0, 2.2046, 0.001])
def test_another_unit_is_told_by_its_factor(factor: float) -> None:
    live = factor * np.random.default_rng(5).lognormal(3, 0.8, 2_000)
    assert unit_factor(AMOUNT, live) == pytest.approx(factor, rel=0.1)


def test_what_only_moves_or_spreads_is_no_other_unit() -> None:
    random = np.random.default_rng(6)
    same = random.lognormal(3, 0.8, 2_000)
    for live in (same, 1.2 * same, same + 60, random.lognormal(4, 0.2, 2_000), -same, 100 * same[:99]):
        assert unit_factor(AMOUNT, live) is None
