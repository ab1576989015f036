"""Importance in Ray's workers is importance here, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.schema import Column
from raypipe.processing.steps import FittedNumber
from raypipe.processing.transform import FittedTransform
from raypipe.testing.training import training_set
from raypipe.training.family import Terms, family_of
from raypipe.training.models import load_model
from raypipe.training.permutation import Measurement, Sample, Shuffles
from raypipe.training.race import Candidate
from raypipe.training.search import defaults

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.mark.parametrize("family", ["xgboost", "torch"])
def test_workers_measure_what_this_process_does(family: str, tmp_path: Path) -> None:
    from raypipe.training.on_ray.importance import measure_over_ray

    data = training_set(2)
    one = family_of(family)
    *_, (_, model) = one.train(defaults(one, data.task), data, Terms(1, 0, 1))
    model.save(tmp_path)
    names = [f"f{i}" for i in range(4)]
    steps = tuple(
        FittedNumber(Column(name, "number", False), 0.0, -9.0, 9.0, 0.0, 1.0, False) for name in names
    )
    rows = pa.table({name: data.x_validation[:, i].astype(np.float64) for i, name in enumerate(names)})
    sample = Sample(rows, data.x_validation, data.y_validation, True)
    measurement = Measurement(sample, FittedTransform(steps, ()), "auc", Shuffles(3, 0))
    best = Candidate(family, {}, 0.9, 0.1, tmp_path, model.format, "t1")

    loaded = load_model(tmp_path, model.format)
    found = measure_over_ray(measurement, best, names, cpus=0.5)
    assert found == [measurement.of(name, loaded) for name in names]
    assert found[0].low > 0 and max(one.value for one in found) == found[0].value
