"""Gradient-boosted trees by XGBoost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raypipe.core.errors import ArtifactError
from raypipe.core.files import storage_errors
from raypipe.training.family import Choice, Parameter, Params, ParamValue, Real, Terms, Whole
from raypipe.training.models import Float32Matrix, Float64Array, Model, check_width
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    import xgboost

_FILE = "model.ubj"
_N_CLASSES = "raypipe_n_classes"


class XgboostModel:
    """A booster; the number of classes is kept in its own file, as an attribute."""

    format = "xgboost-ubj"

    def __init__(self, booster: xgboost.Booster) -> None:
        self._booster = booster
        self._n_classes = int(booster.attr(_N_CLASSES))

    @staticmethod
    def of(booster: xgboost.Booster, n_classes: int) -> XgboostModel:
        """Return the model of a booster that was trained elsewhere."""
        booster.set_attr(**{_N_CLASSES: str(n_classes)})
        booster.set_param({"device": "cpu", "nthread": 1})
        return XgboostModel(booster)

    @property
    def booster(self) -> xgboost.Booster:
        return self._booster

    def predict(self, features: Float32Matrix) -> Float64Array:
        check_width(features, self._booster.num_features())
        if len(features) == 0:
            return np.empty((0, self._n_classes) if self._n_classes else 0)
        raw = self._booster.inplace_predict(features, validate_features=False).astype(np.float64)
        return np.column_stack([1.0 - raw, raw]) if self._n_classes == 2 else raw

    def as_json(self) -> bytes:
        """Return the model in XGBoost's JSON."""
        return bytes(self._booster.save_raw("json"))

    def save(self, folder: Path) -> None:
        with storage_errors(folder):
            self._booster.save_model(folder / _FILE)

    @staticmethod
    def load(folder: Path) -> XgboostModel:
        import xgboost

        path = folder / _FILE
        try:
            booster = xgboost.Booster(model_file=path)
            booster.set_param({"device": "cpu", "nthread": 1})
            return XgboostModel(booster)
        except (xgboost.core.XGBoostError, OSError, TypeError, ValueError) as error:
            first_line = str(error).strip().splitlines()[0]
            raise ArtifactError(f"{path} is no XGBoost model that raypipe saved: {first_line}.") from error


def objective_of(booster: xgboost.Booster) -> tuple[str, int]:
    """Return the objective of a booster, and for how many classes it is; 0 for a number."""
    learner = json.loads(booster.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    n_classes = int(learner["learner_model_param"]["num_class"])
    return objective, 2 if objective.startswith("binary:") else n_classes


class XgboostFamily:
    """Histogram boosting; a rung is a share of the trees."""

    name = "xgboost"
    in_parts = True

    def space(self, task: Task, /) -> tuple[Parameter, ...]:
        common = (
            Whole("n_trees", 180, 60, 600, log=True),
            Real("learning_rate", 0.1, 0.02, 0.3, log=True),
            Whole("max_depth", 6, 3, 10),
            Real("min_child_weight", 2.0, 0.5, 50.0, log=True),
            Real("row_ratio", 0.8, 0.5, 1.0),
            Real("column_ratio", 0.8, 0.4, 1.0),
            Real("l2", 1.0, 0.01, 30.0, log=True),
        )
        return (
            (*common, Choice("loss", "squared", ("squared", "absolute"))) if task.metric == "mae" else common
        )

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        import xgboost

        rows = xgboost.QuantileDMatrix(data.x_train, data.y_train, nthread=terms.n_threads)
        settings = {"seed": terms.seed, "nthread": terms.n_threads, "device": "cuda" if terms.gpu else "cpu"}
        booster = xgboost.Booster({**_learner(params, data.task), **settings}, [rows])
        booster.set_attr(**{_N_CLASSES: str(data.task.n_classes)})
        n_trees = 0
        for rung in range(1, terms.n_rungs + 1):
            until = -(-int(params["n_trees"]) * rung // terms.n_rungs)
            for tree in range(n_trees, until):
                booster.update(rows, tree)
            n_trees = until
            yield rung, XgboostModel(booster)

    def cannot_continue(self) -> str | None:
        return None

    def train_on(
        self, model: Model, params: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Add trees to those of the model: a quarter as many as a training from nothing has."""
        import xgboost

        assert isinstance(model, XgboostModel)
        booster = model.booster
        settings = {"seed": terms.seed, "nthread": terms.n_threads, "device": "cuda" if terms.gpu else "cpu"}
        booster.set_param({**_learner(params, data.task), **settings})
        rows = xgboost.QuantileDMatrix(data.x_train, data.y_train, nthread=terms.n_threads)
        before, n_more, n_done = booster.num_boosted_rounds(), max(1, int(params["n_trees"]) // 4), 0
        for rung in range(1, terms.n_rungs + 1):
            until = -(-n_more * rung // terms.n_rungs)
            for tree in range(n_done, until):
                booster.update(rows, before + tree)
            n_done = until
            yield rung, XgboostModel(booster)


def _learner(params: Params, task: Task) -> Mapping[str, ParamValue]:
    return {
        "tree_method": "hist",
        "eta": params["learning_rate"],
        "max_depth": params["max_depth"],
        "min_child_weight": params["min_child_weight"],
        "subsample": params["row_ratio"],
        "colsample_bytree": params["column_ratio"],
        "lambda": params["l2"],
        "verbosity": 0,
        **_objective(params, task),
    }


def _objective(params: Params, task: Task) -> Mapping[str, ParamValue]:
    if task.n_classes == 2:
        return {"objective": "binary:logistic"}
    if task.n_classes > 2:
        return {"objective": "multi:softprob", "num_class": task.n_classes}
    absolute = params.get("loss") == "absolute"
    return {"objective": "reg:absoluteerror" if absolute else "reg:squarederror"}
