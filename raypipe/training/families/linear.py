"""Regularised linear models: logistic and ridge regression, fitted by scikit-learn, kept as plain numbers.

Rows in files are fitted block by block to the same objective; scikit-learn would make copies of all of them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from raypipe.core.errors import ArtifactError
from raypipe.core.files import storage_errors, write_json
from raypipe.training.family import Parameter, Params, Real, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model, check_width, is_mapped, predicted
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_NUMBERS = "model.safetensors"
_DESCRIPTION = "model.json"
_MAX_ITERATIONS = 100
"""Keeps a fit of 200,000 rows and 100 features within seconds; a fit that needs more is cut there."""
_MANY_FEATURES = 2_000
"""Beyond, the normal equations cost more than an iterative solver."""


@dataclass(frozen=True)
class Description:
    """All that the numbers do not say."""

    kind: Literal["logistic", "ridge"]
    n_features: int
    n_classes: int
    """Of the task; 0 for ridge."""
    classes: tuple[int, ...]
    """The codes that training rows had, ascending; none for ridge."""
    converged: bool
    """Whether the solver ended before its last allowed iteration."""

    def __post_init__(self) -> None:
        codes = list(self.classes)
        whole = all(type(number) is int for number in (self.n_features, self.n_classes, *codes))
        logistic = (
            len(codes) > 1 and codes == sorted(set(codes)) and 0 <= codes[0] <= codes[-1] < self.n_classes
        )
        ridge = not codes and self.n_classes == 0
        if not whole or not {"logistic": logistic, "ridge": ridge}.get(self.kind):
            raise ValueError(f"no linear model is described by {self}")

    @property
    def n_outputs(self) -> int:
        """Columns of scores: one for a value and for two classes, else one a class."""
        return len(self.classes) if len(self.classes) > 2 else 1


class LinearModel:
    """Predicts by coefficients, shape (n_outputs, n_features), and intercepts, all float64."""

    format = "linear-safetensors"

    def __init__(self, description: Description, coefficients: ArrayLike, intercept: ArrayLike) -> None:
        self.description = description
        self.coefficients = np.array(coefficients, dtype=np.float64, order="C")
        self.intercept = np.array(intercept, dtype=np.float64)
        shape = (description.n_outputs, description.n_features)
        if self.coefficients.shape != shape or self.intercept.shape != shape[:1]:
            found = f"{self.coefficients.shape} and {self.intercept.shape}"
            raise ValueError(
                f"coefficients and intercepts must have the shapes {shape} and {shape[:1]}. Got {found}"
            )
        if not (np.isfinite(self.coefficients).all() and np.isfinite(self.intercept).all()):
            raise ValueError("coefficients and intercepts must be finite")

    def predict(self, features: Float32Matrix) -> Float64Array:
        check_width(features, self.description.n_features)
        # A product of matrices adds up a row otherwise in a batch than alone; a dot product does not.
        rows = np.ascontiguousarray(features, np.float64)[:, None, :]
        scores: Float64Array = np.vecdot(rows, self.coefficients) + self.intercept
        if self.description.kind == "ridge":
            return scores[:, 0]
        return self._widened(_probabilities(scores))

    def _widened(self, probabilities: Float64Array) -> Float64Array:
        """Give classes that no training row had the probability 0."""
        n_classes, classes = self.description.n_classes, self.description.classes
        if len(classes) == n_classes:
            return probabilities
        widened = np.zeros((len(probabilities), n_classes))
        widened[:, classes] = probabilities
        return widened

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        with storage_errors(folder):
            save_file({"coefficients": self.coefficients, "intercept": self.intercept}, folder / _NUMBERS)
        write_json(folder / _DESCRIPTION, asdict(self.description))

    @staticmethod
    def load(folder: Path) -> LinearModel:
        from safetensors import SafetensorError

        try:
            value = json.loads((folder / _DESCRIPTION).read_text())
            description = Description(**{**value, "classes": tuple(value["classes"])})
            return LinearModel(description, **_numbers(folder / _NUMBERS))
        except (OSError, ValueError, TypeError, KeyError, RecursionError, SafetensorError) as error:
            raise ArtifactError(f"{folder} holds no linear model that raypipe saved: {error}.") from error


def _numbers(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the arrays; a cast from another type would hide a damaged file."""
    from safetensors.numpy import load_file

    arrays = load_file(path)
    others = [f"{name} of {array.dtype}" for name, array in arrays.items() if array.dtype != np.float64]
    if others:
        raise ValueError(f"its arrays must be float64. Got {others[0]}")
    return arrays


def _probabilities(scores: Float64Array) -> Float64Array:
    """Return the softmax; a single score is that of the second of two classes, the first having 0."""
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Float64Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


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
            model = fit(float(params["strength"]), data)
        yield 1, model

    def cannot_continue(self) -> str | None:
        return None

    def train_on(
        self, model: Model, params: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Fit to the rows while held to the coefficients that it has, as by as many rows of before."""
        from threadpoolctl import threadpool_limits

        assert isinstance(model, LinearModel)
        fit = _ridge_from if data.task.kind == "regression" else _logistic_from
        strength = max(float(params["strength"]), _hold(model, data.x_train))
        with threadpool_limits(limits=terms.n_threads):
            found = fit(model, strength, data)
        yield 1, found


def _hold(model: LinearModel, x: Float32Matrix) -> float:
    """Return what as many rows tell of the coefficient of a standardised feature, if they are as it says.

    That is the curvature of their loss: 1 a row of squares, and for classes what answers that are sure leave.
    """
    if model.description.kind == "ridge":
        return float(len(x))
    shares = predicted(model, x)
    return float((shares * (1 - shares)).sum() / 2)


def _logistic_from(model: LinearModel, strength: float, data: TrainingSet) -> LinearModel:
    from raypipe.training.families.linear_blocks import Solved, logistic

    told = model.description
    # Of a class that none of its training rows had it has no coefficients to go on from.
    known = np.isin(data.y_train, told.classes)
    x, codes = data.x_train[known], np.searchsorted(told.classes, data.y_train[known])
    before = Solved(model.coefficients, model.intercept, told.converged)
    solved = logistic(x, codes, strength, _MAX_ITERATIONS, before)
    return LinearModel(replace(told, converged=solved.converged), solved.coefficients, solved.intercept)


def _ridge_from(model: LinearModel, strength: float, data: TrainingSet) -> LinearModel:
    from raypipe.training.families.linear_blocks import ridge

    left = data.y_train.astype(np.float64) - predicted(model, data.x_train)
    solved = ridge(data.x_train, left, strength, _MANY_FEATURES)
    return LinearModel(
        model.description, model.coefficients + solved.coefficients, model.intercept + solved.intercept
    )


def _fit_logistic(strength: float, data: TrainingSet) -> LinearModel:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if is_mapped(data.x_train):
        return _logistic_of_files(strength, data)
    estimator = LogisticRegression(C=1.0 / strength, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # A fit that was cut is a weaker model, not a failed one: `converged` says so, the score judges.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(data.x_train, data.y_train)
    description = Description(
        kind="logistic",
        n_features=data.x_train.shape[1],
        n_classes=data.task.n_classes,
        classes=tuple(estimator.classes_.tolist()),
        converged=bool(np.max(estimator.n_iter_) < _MAX_ITERATIONS),
    )
    return LinearModel(description, estimator.coef_, estimator.intercept_)


def _fit_ridge(strength: float, data: TrainingSet) -> LinearModel:
    """Fit to the standardised target, as float32 sums of large targets lose digits, and scale back."""
    from sklearn.linear_model import Ridge

    if is_mapped(data.x_train):
        return _ridge_of_files(strength, data)
    mean, scale = float(np.mean(data.y_train)), float(np.std(data.y_train)) or 1.0
    n_features = data.x_train.shape[1]
    estimator = Ridge(alpha=strength, solver="cholesky" if n_features <= _MANY_FEATURES else "lsqr")
    estimator.fit(data.x_train, ((data.y_train - mean) / scale).astype(np.float32))
    coefficients = np.asarray(estimator.coef_, dtype=np.float64) * scale
    intercept = float(estimator.intercept_) * scale + mean
    description = Description("ridge", n_features, n_classes=0, classes=(), converged=True)
    return LinearModel(description, coefficients[None, :], [intercept])


def _logistic_of_files(strength: float, data: TrainingSet) -> LinearModel:
    from raypipe.training.families.linear_blocks import logistic

    classes, codes = np.unique(data.y_train, return_inverse=True)
    solved = logistic(data.x_train, codes, strength, _MAX_ITERATIONS)
    description = Description(
        kind="logistic",
        n_features=data.x_train.shape[1],
        n_classes=data.task.n_classes,
        classes=tuple(classes.tolist()),
        converged=solved.converged,
    )
    return LinearModel(description, solved.coefficients, solved.intercept)


def _ridge_of_files(strength: float, data: TrainingSet) -> LinearModel:
    from raypipe.training.families.linear_blocks import ridge

    solved = ridge(data.x_train, data.y_train.astype(np.float64), strength, _MANY_FEATURES)
    description = Description("ridge", data.x_train.shape[1], n_classes=0, classes=(), converged=True)
    return LinearModel(description, solved.coefficients, solved.intercept)
