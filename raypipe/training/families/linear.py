"""Regularised linear models by scikit-learn: logistic regression, and ridge regression."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from raypipe.core.errors import ArtifactError
from raypipe.core.files import storage_errors
from raypipe.core.ids import Json
from raypipe.training.family import Parameter, Params, Real, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model, check_width
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

_FILE = "model.skops"
_MAX_ITERATIONS = 100
"""Keeps a fit of 200,000 rows and 100 features within seconds; a fit that needs more is cut there."""
_MANY_FEATURES = 2_000
"""Beyond, the normal equations cost more than an iterative solver."""

TRUSTED_TYPES = frozenset(
    {
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._ridge.Ridge",
        "numpy.ndarray",
        "numpy.float64",
        "numpy.float32",
        "numpy.int64",
        "numpy.int32",
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.int",
        "builtins.float",
    }
)
"""All that a file may name; skops by itself would trust every class of scikit-learn, numpy and scipy."""
_LOADERS = frozenset({"ObjectNode", "DictNode", "ListNode", "JsonNode", "NdArrayNode", "TypeNode"})
"""How a file may ask for its parts to be built: no functions, methods or reductions."""

Estimator: TypeAlias = Any  # scikit-learn ships no types


class LinearModel:
    """A fitted scikit-learn estimator that predicts by its coefficients alone."""

    format = "skops"

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self._coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64)).T
        self._intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=np.float64))

    @property
    def converged(self) -> bool:
        """Whether the solver ended before its last allowed iteration."""
        n_iterations = getattr(self._estimator, "n_iter_", None)
        return n_iterations is None or bool(np.max(n_iterations) < _MAX_ITERATIONS)

    def predict(self, features: Float32Matrix) -> Float64Array:
        check_width(features, len(self._coefficients))
        scores: Float64Array = features @ self._coefficients + self._intercept
        if not hasattr(self._estimator, "classes_"):
            return scores[:, 0]
        return self._widened(_sigmoid(scores) if scores.shape[1] == 1 else _softmax(scores))

    def _widened(self, probabilities: Float64Array) -> Float64Array:
        """Give classes that no training row had the probability 0."""
        n_classes, seen = self._estimator.n_task_classes_, self._estimator.classes_
        if len(seen) == n_classes:
            return probabilities
        widened = np.zeros((len(probabilities), n_classes))
        widened[:, seen] = probabilities
        return widened

    def save(self, folder: Path) -> None:
        from skops import io

        with storage_errors(folder):
            io.dump(self._estimator, folder / _FILE)

    @staticmethod
    def load(folder: Path) -> LinearModel:
        path = folder / _FILE
        try:
            _refuse_untrusted(path)
            return LinearModel(_loaded(path))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} is no linear model that raypipe saved: {error}.") from error


def _loaded(path: Path) -> Estimator:
    from skops import io

    return io.load(path, trusted=sorted(TRUSTED_TYPES))


def _refuse_untrusted(path: Path) -> None:
    """Raise where the file names a class off the list or holds a pickle, before anything is built from it."""
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
        others = [name for name in archive.namelist() if name != "schema.json" and not name.endswith(".npy")]
    unknown = sorted(set(_names(schema)) - TRUSTED_TYPES - _LOADERS) + others
    if unknown:
        raise ArtifactError(
            f"{path} names {unknown[0]!r}, which no linear model holds; it was not loaded: "
            "restore the model folder from a copy, or train again."
        )


def _names(node: Json) -> Iterator[str]:
    """Yield every class and every loader that a skops schema names."""
    if isinstance(node, dict):
        if "__class__" in node:
            yield f"{node.get('__module__')}.{node['__class__']}"
            yield str(node.get("__loader__"))
        for value in node.values():
            yield from _names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value)


class LinearFamily:
    """Logistic regression (lbfgs) or ridge regression; in one part, so it is never stopped early."""

    name = "linear"
    in_parts = False

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        """Return the strength of the regularisation: scikit-learn's 1 / C, or alpha."""
        return (Real("strength", 1.0, 1e-3, 1e4, log=True),)

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        from threadpoolctl import threadpool_limits

        fit = _fit_ridge if data.task.kind == "regression" else _fit_logistic
        with threadpool_limits(limits=terms.n_threads):
            estimator = fit(float(params["strength"]), data)
        yield 1, LinearModel(estimator)


def _fit_logistic(strength: float, data: TrainingSet) -> Estimator:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(C=1.0 / strength, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # A fit that was cut is a weaker model, not a failed one: n_iter_ keeps the fact, the score judges it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(data.x_train, data.y_train)
    estimator.n_task_classes_ = data.task.n_classes
    return estimator


def _fit_ridge(strength: float, data: TrainingSet) -> Estimator:
    """Fit to the standardised target, as float32 sums of large targets lose digits, and scale back."""
    from sklearn.linear_model import Ridge

    mean, scale = float(np.mean(data.y_train)), float(np.std(data.y_train)) or 1.0
    solver = "cholesky" if data.x_train.shape[1] <= _MANY_FEATURES else "lsqr"
    estimator = Ridge(alpha=strength, solver=solver)
    estimator.fit(data.x_train, ((data.y_train - mean) / scale).astype(np.float32))
    estimator.coef_ = np.asarray(estimator.coef_, dtype=np.float64) * scale
    estimator.intercept_ = np.float64(estimator.intercept_) * scale + mean
    return estimator


def _sigmoid(scores: Float64Array) -> Float64Array:
    second = np.exp(-np.logaddexp(0.0, -scores[:, 0]))
    return np.column_stack([1.0 - second, second])


def _softmax(scores: Float64Array) -> Float64Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Float64Array = powers / powers.sum(axis=1, keepdims=True)
    return shares
