"""The one model that all serve: 100 trees on 20 columns, by XGBoost, with the rows to ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.training.families.xgboost_trees import XgboostModel

N_COLUMNS, N_TREES, N_TRAINING_ROWS, N_BODIES = 20, 100, 4_000, 64
COLUMNS = tuple(f"x{number:02d}" for number in range(N_COLUMNS))


def training_rows(seed: int = 0) -> pa.Table:
    """Return seeded numbers, without a missing one, and the label that some of them make."""
    import pyarrow as pa

    x = np.random.default_rng(seed).normal(size=(N_TRAINING_ROWS, N_COLUMNS))
    label = (x[:, :10].sum(axis=1) + x[:, 10] * x[:, 11] > 0).astype(np.int64)
    return pa.table({**dict(zip(COLUMNS, x.T, strict=True)), "label": label})


def trained(rows: pa.Table, n_trees: int = N_TREES) -> XgboostModel:
    """Return a model of so many trees of depth 6, on the columns as they are."""
    from raypipe.training.families.xgboost_trees import XgboostFamily
    from raypipe.training.family import Terms
    from raypipe.training.race import TrainingSet
    from raypipe.training.task import Task

    x = np.column_stack([rows[name].to_numpy() for name in COLUMNS]).astype(np.float32)
    y = rows["label"].to_numpy()
    task = Task("classification", "label", (0, 1), "auc")
    family = XgboostFamily()
    params = {one.name: one.default for one in family.space(task)} | {"n_trees": n_trees}
    [(_, model)] = family.train(params, TrainingSet(x, y, x, y, task, COLUMNS), Terms(1, 0, 1))
    return model


def asked_rows(n_rows: int, seed: int = 1) -> list[list[float]]:
    """Return seeded rows to ask for, in the order of the columns."""
    return np.random.default_rng(seed).normal(size=(n_rows, N_COLUMNS)).round(4).tolist()


def body(template: str, n_rows: int, seed: int = 1) -> bytes:
    """Return one body: OBJECTS in the template becomes rows by name, LISTS rows by place."""
    return _body(template, asked_rows(n_rows, seed)).encode()


def write_bodies(path: Path, template: str, n_rows: int, n_bodies: int = N_BODIES) -> Path:
    """Write bodies of so many rows, one a line."""
    rows = asked_rows(n_rows * n_bodies)
    parts = (rows[start : start + n_rows] for start in range(0, len(rows), n_rows))
    path.write_text("".join(f"{_body(template, part)}\n" for part in parts))
    return path


def _body(template: str, rows: list[list[float]]) -> str:
    objects = json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    filled = template.replace("OBJECTS", objects).replace("LISTS", json.dumps(rows))
    return filled.replace("COUNT", str(len(rows)))
