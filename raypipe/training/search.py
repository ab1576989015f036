"""Where the search looks: a family in turn, then that family's own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from raypipe.core.errors import LabelError, TrainingError
from raypipe.core.ids import Json
from raypipe.training.family import Family, Params, ParamValue, Suggestions
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

V = TypeVar("V")

FAMILY = "family"
N_RECENT = "n_recent"
N_RUNGS = 9
"""Parts of a trial; after 1 and 3 of them the worse two thirds of a family's trials are stopped."""
REDUCTION = 3
TRIALS_PER_PARAMETER = 4
"""So many trials a family gets before it has to wait for the others; one parameter needs few."""
_CHEAPEST_FIRST = ("linear", "xgboost", "torch")
"""Those that are not named come between, in the order of the config."""


def next_family(n_trials: Mapping[str, int], families: Mapping[str, Family], task: Task) -> str:
    """Return the family of the next trial, from how many trials each has had: in turn, cheap ones first.

    A family that has had `TRIALS_PER_PARAMETER` trials for each of its parameters waits until all others
    have had theirs, and then may have as many again. So few trials are shared equally, but for families
    with few parameters, and many in proportion to the parameters. Scores play no part: a family that is
    behind after its defaults may lead when it is tuned.
    """

    def before(family: str) -> tuple[int, int, float]:
        n_parameters = max(1, len(families[family].space(task)))
        rounds = n_trials[family] // (TRIALS_PER_PARAMETER * n_parameters)
        return rounds, n_trials[family], _costs(family)

    return min(n_trials, key=before)


def _costs(family: str) -> float:
    return _CHEAPEST_FIRST.index(family) if family in _CHEAPEST_FIRST else len(_CHEAPEST_FIRST) - 1.5


def suggest(
    trial: Suggestions, family: Family, task: Task, windows: Sequence[int] = ()
) -> dict[str, ParamValue]:
    """Ask for a family's parameters, under names such as `xgboost.max_depth`; return the family as well.

    With `windows`, how many of the newest training rows to learn from is a parameter like the others.
    """
    for parameter in family.space(task):
        parameter.suggested(trial, f"{family.name}.")
    if windows:
        trial.suggest_categorical(f"{family.name}.{N_RECENT}", list(windows))
    return {FAMILY: family.name}


def first_points(family: Family, task: Task, windows: Sequence[int] = ()) -> list[dict[str, ParamValue]]:
    """Return what is tried before the search knows anything: the defaults, with each window in turn.

    Names are as in `suggest`.
    """
    point = asked(family.name, defaults(family, task))
    return [{**point, f"{family.name}.{N_RECENT}": window} for window in windows] or [point]


def points_of(
    family: Family, task: Task, windows: Sequence[int], tried: Sequence[Mapping[str, Json]]
) -> list[Mapping[str, Json]]:
    """Return what is proposed first: what was tried before, then those of `first_points` that were not."""
    first = first_points(family, task, windows)
    return [*tried, *(point for point in first if point not in tried)]


def asked(family: str, params: Mapping[str, V]) -> dict[str, V]:
    """Return a family's own parameters under the names by which `suggest` asked for them."""
    return {f"{family}.{name}": value for name, value in params.items()}


def defaults(family: Family, task: Task) -> Params:
    """Return the parameters of a family that are tried first."""
    return {parameter.name: parameter.default for parameter in family.space(task)}


def chosen(config: Mapping[str, ParamValue]) -> tuple[str, Params]:
    """Return the family and its own parameters from what `suggest` asked for."""
    family = str(config[FAMILY])
    prefix = f"{family}."
    return family, {
        name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)
    }


def check_learnable(data: TrainingSet) -> None:
    """Raise where no model could be trained on these rows, or none be chosen by them."""
    task = data.task
    if data.x_train.shape[1] == 0:
        raise TrainingError(
            "there are no features to learn from; name columns that vary in `processing.features`."
        )
    if _is_one_value(data.y_train):
        raise LabelError(
            f"the label {task.label!r} has one value in all {len(data.y_train):,} training rows, so there is "
            "nothing to learn; bring more rows, or split off less for validation and test."
        )
    if task.metric in ("auc", "r2") and _is_one_value(data.y_validation):
        raise LabelError(
            f"the label {task.label!r} has one value in all {len(data.y_validation):,} validation rows, and "
            f"{task.metric} cannot choose by them; raise `data.split.validation`, or set another "
            "`training.metric`."
        )


def _is_one_value(target: NDArray[np.int64] | NDArray[np.float64]) -> bool:
    return bool((target == target[:1]).all())
