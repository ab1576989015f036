"""Linear models of rows in files, block by block: the same objectives as scikit-learn's, in float64.

No more than a block of rows is in memory, beside a few numbers a row of the solver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raypipe.training.models import Float32Matrix, Float64Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_VALUES = 4 * 1024 * 1024
_TOLERANCE = 1e-4
_MAX_LINE_STEPS = 50


@dataclass(frozen=True)
class Solved:
    """Coefficients of shape (n_outputs, n_features) and an intercept for each output."""

    coefficients: Float64Array
    intercept: Float64Array
    converged: bool


def blocks(x: Float32Matrix) -> Iterator[tuple[slice, Float64Array]]:
    """Yield the rows some megabytes at a time, as float64, each part with its place."""
    n_rows = max(1, BLOCK_VALUES // max(1, x.shape[1]))
    for start in range(0, len(x), n_rows):
        part = slice(start, start + n_rows)
        yield part, np.asarray(x[part], np.float64)


def logistic(
    x: Float32Matrix,
    codes: NDArray[np.int64],
    strength: float,
    max_iterations: int,
    start: Solved | None = None,
) -> Solved:
    """Fit logistic regression by L-BFGS; two or more classes, numbered from 0 without gaps.

    Minimises the mean loss plus strength / (2 n) times the sum of squared coefficients, intercepts left out;
    with `start`, of their squared distances from those, which may have classes that no row has.
    """
    from scipy.optimize import minimize

    n_classes = int(codes.max()) + 1
    n_outputs = (1 if n_classes == 2 else n_classes) if start is None else len(start.intercept)
    shape = (n_outputs, x.shape[1] + 1)
    first = np.zeros(shape)
    if start is not None:
        first = np.column_stack([start.coefficients, start.intercept])
    loss = _binary if n_outputs == 1 else _multinomial

    def objective(flat: Float64Array) -> tuple[float, Float64Array]:
        weights = flat.reshape(shape)
        total, slope = 0.0, np.zeros(shape)
        for part, rows in blocks(x):
            value, by_row = loss(rows @ weights[:, :-1].T + weights[:, -1], codes[part])
            total += value
            slope[:, :-1] += by_row.T @ rows
            slope[:, -1] += by_row.sum(axis=0)
        penalised = weights[:, :-1] - first[:, :-1]
        slope[:, :-1] += strength * penalised
        value = (total + 0.5 * strength * float((penalised**2).sum())) / len(x)
        return value, (slope / len(x)).ravel()

    found = minimize(
        objective,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "maxls": _MAX_LINE_STEPS,
            "gtol": _TOLERANCE,
            "ftol": 64 * np.finfo(float).eps,
        },
    )
    weights = found.x.reshape(shape)
    return Solved(weights[:, :-1], weights[:, -1], bool(found.nit < max_iterations))


def _binary(scores: Float64Array, codes: NDArray[np.int64]) -> tuple[float, Float64Array]:
    """Return the summed loss, and its slope by the score of each row."""
    raw = scores[:, 0]
    value = float((np.logaddexp(0.0, raw) - codes * raw).sum())
    shares = 1.0 / (1.0 + np.exp(-np.clip(raw, -500.0, 500.0)))
    return value, (shares - codes)[:, None]


def _multinomial(scores: Float64Array, codes: NDArray[np.int64]) -> tuple[float, Float64Array]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    sums = powers.sum(axis=1)
    rows = np.arange(len(codes))
    value = float((np.log(sums) - shifted[rows, codes]).sum())
    slope = powers / sums[:, None]
    slope[rows, codes] -= 1.0
    return value, slope


def ridge(x: Float32Matrix, y: NDArray[np.float64], strength: float, max_features: int) -> Solved:
    """Fit ridge regression: by the normal equations, or beyond `max_features` by LSQR."""
    from scipy.linalg import solve

    n_features = x.shape[1]
    means = sum((rows.sum(axis=0) for _, rows in blocks(x)), np.zeros(n_features)) / len(x)
    middle = float(np.mean(y))
    if n_features > max_features:
        found = _lsqr(x, y, means, middle, strength)
    else:
        squares, products = np.zeros((n_features, n_features)), np.zeros(n_features)
        for part, rows in blocks(x):
            rows -= means
            squares += rows.T @ rows
            products += rows.T @ (y[part] - middle)
        squares[np.diag_indices(n_features)] += strength
        found = solve(squares, products, assume_a="pos")
    return Solved(found[None, :], np.array([middle - means @ found]), converged=True)


def _lsqr(
    x: Float32Matrix, y: NDArray[np.float64], means: Float64Array, middle: float, strength: float
) -> Float64Array:
    from scipy.sparse.linalg import LinearOperator, lsqr

    def forward(weights: Float64Array) -> Float64Array:
        return np.concatenate([(rows - means) @ weights for _, rows in blocks(x)])

    def backward(by_row: Float64Array) -> Float64Array:
        parts = (by_row[part] @ (rows - means) for part, rows in blocks(x))
        return sum(parts, np.zeros(x.shape[1]))

    centred = LinearOperator(x.shape, matvec=forward, rmatvec=backward, dtype=np.float64)
    found: Float64Array = lsqr(centred, y - middle, damp=np.sqrt(strength), atol=_TOLERANCE, btol=_TOLERANCE)[
        0
    ]
    return found
