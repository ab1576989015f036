"""Where the search looks: a choice of family, then that family's own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raypipe.core.errors import LabelError, TrainingError
from raypipe.training.family import Params, ParamValue, Suggestions, family_of
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

FAMILY = "family"
N_RUNGS = 9
"""Parts of a trial; after 1 and 3 of them the worse two thirds of a family's trials are stopped."""
REDUCTION = 3
_CHEAPEST_FIRST = ("linear", "xgboost", "torch")


def suggest(trial: Suggestions, families: Sequence[str], task: Task) -> None:
    """Ask for a family, then for its parameters under names such as `xgboost.max_depth`."""
    family = trial.suggest_categorical(FAMILY, families)
    for parameter in family_of(family).space(task):
        parameter.suggested(trial, f"{family}.")


def first_points(families: Sequence[str], task: Task) -> list[dict[str, ParamValue]]:
    """Return what is tried before the search knows anything: each family's defaults, cheap ones first."""
    ordered = sorted(families, key=_CHEAPEST_FIRST.index)
    return [{FAMILY: family, **_prefixed(family, defaults(family, task))} for family in ordered]


def defaults(family: str, task: Task) -> Params:
    """Return the parameters of a family that are tried first."""
    return {parameter.name: parameter.default for parameter in family_of(family).space(task)}


def chosen(config: Mapping[str, ParamValue]) -> tuple[str, Params]:
    """Return the family and its own parameters from what `suggest` asked for."""
    family = str(config[FAMILY])
    prefix = f"{family}."
    return family, {
        name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)
    }


def _prefixed(family: str, params: Params) -> Params:
    return {f"{family}.{name}": value for name, value in params.items()}


def check_learnable(data: TrainingSet) -> None:
    """Raise where no model could be trained on these rows, or none be chosen by them."""
    task = data.task
    if data.x_train.shape[1] == 0:
        raise TrainingError(
            "there are no features to learn from; name columns that vary in `processing.features`."
        )
    if len(set(data.y_train.tolist())) < 2:
        raise LabelError(
            f"the label {task.label!r} has one value in all {len(data.y_train):,} training rows, so there is "
            "nothing to learn; bring more rows, or split off less for validation and test."
        )
    if task.metric in ("auc", "r2") and len(set(data.y_validation.tolist())) < 2:
        raise LabelError(
            f"the label {task.label!r} has one value in all {len(data.y_validation):,} validation rows, and "
            f"{task.metric} cannot choose by them; raise `data.split.validation`, or set another "
            "`training.metric`."
        )
