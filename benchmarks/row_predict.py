"""One row to its answer inside a replica: transform and model together, beside the model alone.

    .venv/bin/python -m benchmarks.row_predict

The rows and the steps of `row_transform.py` (15 numeric columns, 5 categorical ones), and an XGBoost model of
100 trees of depth 6. Prints the median microseconds of a call with one row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.row_transform import fitted, median_us, plain_rows, rows
from raypipe.serving.predictor import Predictor
from raypipe.training.families.xgboost_trees import XgboostFamily
from raypipe.training.family import Terms
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

N_TREES = 100


@dataclass(frozen=True)
class Result:
    """Median microseconds a call."""

    both_us: float
    model_us: float


def measure(n_rows: int = 5_000, n_calls: int = 2_000, n_trees: int = N_TREES) -> Result:
    """Fit the steps and the trees, then answer single rows."""
    frame = rows(n_rows)
    transform, singles = fitted(frame), plain_rows(frame.head(200))
    task = Task("classification", "label", ("no", "yes"), "auc")
    x = transform.transform_rows(plain_rows(frame))
    y = (np.nan_to_num(frame["x0"].to_numpy()) > 0).astype(np.int64)
    family = XgboostFamily()
    params = {one.name: one.default for one in family.space(task)} | {"n_trees": n_trees}
    [(_, model)] = family.train(
        params, TrainingSet(x, y, x, y, task, transform.feature_names), Terms(1, 0, 1)
    )
    predictor = Predictor(transform, task, model)
    return Result(
        median_us(lambda i: predictor.predict_rows([singles[i % 200]]), n_calls),
        median_us(lambda i: model.predict(x[i % 200 : i % 200 + 1]), n_calls),
    )


if __name__ == "__main__":
    found = measure()
    sys.stdout.write(f"transform and model {found.both_us:.0f} us, model alone {found.model_us:.0f} us\n")
