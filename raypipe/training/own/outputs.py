"""What code of the user's own takes, and what may come out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from raypipe.training.models import Float32Matrix, Float64Array, check_width
from raypipe.training.own.description import OwnDescription


def asked(
    told: OwnDescription,
    answer: Callable[[Any], Any],
    features: Float32Matrix,
    codes: Sequence[int] | None = None,
) -> Float64Array:
    """Return what `answer` says of features, as models of raypipe say it.

    `codes` are the classes of its columns where these may be fewer than the task's; no training row had the
    others, whose probability is 0. Raises ValueError for what is no such answer.
    """
    check_width(features, told.n_features)
    if len(features) == 0:
        return np.empty((0, told.n_classes) if told.n_classes else 0)
    given = features if told.feature_names is None else _frame(features, told.feature_names)
    found = _numbers(answer(given), told.path)
    if not told.n_classes:
        return _shaped(
            found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found, (len(features),), told
        )
    if told.n_classes == 2 and (found.ndim == 1 or found.shape[1] == 1) and codes is None:
        second = found.reshape(len(found))
        found = np.column_stack([1.0 - second, second])
    if codes is not None and len(codes) < told.n_classes:
        found = _widened(_shaped(found, (len(features), len(codes)), told), codes, told.n_classes)
    return _in_range(_shaped(found, (len(features), told.n_classes), told), told.path)


def _frame(features: Float32Matrix, names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(features, columns=list(names), copy=True)


def _numbers(made: Any, path: str) -> Float64Array:
    try:
        return np.array(made, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must answer with numbers. Got {type(made).__name__}: {error}") from error


def _shaped(found: Float64Array, shape: tuple[int, ...], told: OwnDescription) -> Float64Array:
    if found.shape != shape:
        what = "a probability for each class" if told.n_classes else "a number"
        also = ", or that of the second class alone" if told.n_classes == 2 else ""
        raise ValueError(
            f"{told.path} must answer each row with {what}{also}: the shape {shape}. Got {found.shape}"
        )
    return found


def _in_range(found: Float64Array, path: str) -> Float64Array:
    # What is no number is told by who scores it.
    wrong = (found < -1e-6) | (found > 1 + 1e-6)
    if wrong.any():
        raise ValueError(f"{path} must answer with probabilities, from 0 to 1. Got {found[wrong][0]:g}")
    return found


def _widened(found: Float64Array, codes: Sequence[int], n_classes: int) -> Float64Array:
    wide = np.zeros((len(found), n_classes))
    wide[:, list(codes)] = found
    return wide
