"""Fitting steps of the user's own, and proving that they treat each row alike whatever comes with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.imports import loaded, source_digest
from raypipe.data.profile import Profile
from raypipe.data.schema import Column
from raypipe.data.split import Rows
from raypipe.processing.column_settings import NumericStep
from raypipe.processing.config import CustomStep
from raypipe.processing.fit_number import fit_number
from raypipe.processing.report import StepFit
from raypipe.processing.steps.custom import (
    FittedFunction,
    FittedTransformer,
    filled,
    numbers_in,
)
from raypipe.processing.steps.lookup import Float32Matrix
from raypipe.processing.steps.number import FittedNumber

if TYPE_CHECKING:
    import pyarrow as pa

MAX_FIT_ROWS = 100_000
"""Of more training rows a transformer is fitted on so many, spread evenly."""
N_PROVEN_ROWS = 256


def fit_custom(
    custom: CustomStep, where: str, columns: tuple[Column, ...], rows: Rows, profile: Profile
) -> StepFit:
    """Return the step, fitted on training rows, for the columns that a custom step names.

    Raises ConfigError for code that cannot be imported or run, or whose features of a row differ with the
    rows that come with it.
    """
    try:
        if custom.function is not None:
            return _function(custom, custom.function, columns, rows)
        return _transformer(custom, str(custom.transformer), where, columns, rows, profile)
    except ArtifactError as error:
        raise ConfigError(f"{where}: {error}") from error


def _function(custom: CustomStep, path: str, columns: tuple[Column, ...], rows: Rows) -> StepFit:
    from raypipe.processing.frames import frame_of

    frame = frame_of(_spread(rows, N_PROVEN_ROWS), columns)

    def run(places: list[int]) -> Float32Matrix:
        return numbers_in(_ran(path, lambda: loaded(path)(frame[places], **custom.params)), len(places), path)

    made = _ran(path, lambda: loaded(path)(frame, **custom.params))
    outputs = _outputs(made, numbers_in(made, frame.height, path).shape[1])
    _prove(run, frame.height, path)
    step = FittedFunction(columns, path, custom.params, outputs, source_digest(path))
    return StepFit(step, f"your function {path}: its code runs wherever features are made")


def _transformer(
    custom: CustomStep, path: str, where: str, columns: tuple[Column, ...], rows: Rows, profile: Profile
) -> StepFit:
    from raypipe.processing.columns import floats_of

    numbers = tuple(_filling(profile, column, where) for column in columns)

    def values(table: pa.Table) -> Any:
        return filled(numbers, np.column_stack([floats_of(table, column) for column in columns]))

    fitted = _ran(path, lambda: loaded(path)(**custom.params).fit(values(_spread(rows, MAX_FIT_ROWS))))
    proven = values(_spread(rows, N_PROVEN_ROWS))

    def run(places: list[int]) -> Float32Matrix:
        return numbers_in(_ran(path, lambda: fitted.transform(proven[places])), len(places), path)

    n_outputs = run(list(range(len(proven)))).shape[1]
    _prove(run, len(proven), path)
    state, trusted = _kept(fitted, path)
    step = FittedTransformer(numbers, path, tuple(map(str, range(n_outputs))), trusted, state)
    return StepFit(step, f"the transformer {path}: its code runs wherever features are made")


def _filling(profile: Profile, column: Column, where: str) -> FittedNumber:
    if column.kind not in ("number", "integer", "boolean"):
        raise ConfigError(
            f"{where} must name columns of numbers for a transformer. Got {column.name!r}, of kind "
            f"{column.kind}."
        )
    one = profile[column.name]
    if one.quantile(0.5) is None:
        raise ConfigError(f"{where} names {column.name!r}, which has no value in the training rows.")
    step = fit_number(one, column, NumericStep(scale="none", indicator=False)).step
    assert isinstance(step, FittedNumber)
    return step


def _kept(fitted: Any, path: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a fitted transformer as skops keeps it, and the types that loading it must be allowed."""
    import skops.io

    state = _ran(path, lambda: skops.io.dumps(fitted))
    return state, tuple(sorted(skops.io.get_untrusted_types(data=state)))


def _prove(run: Callable[[list[int]], Float32Matrix], n_rows: int, path: str) -> None:
    """Raise ArtifactError where rows give other features one by one, or in another company."""
    together = run(list(range(n_rows)))
    singly = np.concatenate([run([place]) for place in range(n_rows)])
    backwards = run(list(range(n_rows))[::-1])[::-1]
    for way, made in (("one by one", singly), ("in another order", backwards)):
        if made.shape != together.shape:
            raise ArtifactError(f"{path} must give each row as many numbers {way} as together.")
        different = (made.view(np.int32) != together.view(np.int32)).any(axis=1)
        if different.any():
            raise ArtifactError(
                f"{path} must give a row the same features whatever rows come with it, as the endpoint sees "
                f"one at a time. Got other ones for {different.sum()} of {n_rows} rows taken {way}: fit what "
                "it computes over all rows in a transformer, or write it as numbers in `params`."
            )


def _ran(path: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"{path} failed on training rows ({type(error).__name__}: {error}).") from error


def _outputs(made: Any, n_outputs: int) -> tuple[str, ...]:
    names = getattr(made, "columns", None)
    return tuple(map(str, names)) if names is not None else tuple(map(str, range(n_outputs)))


def _spread(rows: Rows, limit: int) -> pa.Table:
    n_rows = rows.num_rows
    return rows.take([n_rows * i // limit for i in range(limit)] if n_rows > limit else np.arange(n_rows))
