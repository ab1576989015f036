"""A model that was made elsewhere: its file read as data, its inputs as a schema names them.

The schema is YAML: `features` in the model's order, and for a classification `classes` in its order.

    features:
      - amount                                  # a number as it is; requests must bring it
      - {column: size, fill: 0}                 # a missing one counts as 0
      - {column: colour, values: [blue, red]}   # a feature for each value, 1 where it is this one
    classes: [bad, good]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.imports import modules_digest
from raypipe.core.settings import ImportPath, Settings
from raypipe.data.names import suggest
from raypipe.data.schema import Column
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedCategory, FittedNumber, FittedStep
from raypipe.processing.steps.number import FLOAT32_MAX
from raypipe.processing.transform import FittedTransform
from raypipe.training.disguise import Allowed, refuse_code
from raypipe.training.models import Model
from raypipe.training.own.description import OwnDescription
from raypipe.training.task import ClassValue, Task

FAMILIES = {
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".safetensors": "linear",
    ".skops": "sklearn",
    ".onnx": "onnx",
}
_INSTEAD = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle can run code; write it by `skops.io.dump`"),
    **dict.fromkeys(
        (".pt", ".pth", ".bin", ".ckpt"),
        "torch.save writes pickles; write the `state_dict` by `safetensors.torch.save_file`, and name its "
        "class in the schema (`network: module:Class`)",
    ),
    **dict.fromkeys((".h5", ".keras", ".pb", ".tflite", ".cbm", ".pmml"), "export it as ONNX"),
}
_NUMBERS = ("number", "integer", "boolean")


class ImportedFeature(Settings):
    """One input of the model, or one for each of some values of a column."""

    column: Annotated[str, Field(min_length=1)]
    fill: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """What a missing number counts as; none where requests must bring it."""
    values: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The values of a category, each with a feature of its own; all are 0 for any other."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value


class ImportSchema(Settings):
    """What an imported model takes and answers."""

    features: Annotated[tuple[ImportedFeature, ...], Field(min_length=1)]
    classes: tuple[ClassValue, ...] = ()
    """In the model's order; none for a number."""
    network: ImportPath | None = None
    """The class of a torch module, whose weights the file holds: Class(n_inputs, n_outputs, **params)."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """What the class is called with besides."""
    output: str | None = None
    """The output of an ONNX graph that is the answer; by default its probabilities, or its last."""


def read_foreign(path: Path, task: Task, schema: ImportSchema, code: str | None) -> tuple[str, Model]:
    """Return the family and the model of a file, read as data by the format that its name says.

    The class of a network is imported, from `code` where it is not installed. Raises ArtifactError for a file
    that is not what its name says, ConfigError for an unknown kind of file.
    """
    family = FAMILIES.get(path.suffix)
    if family is None:
        instead = _INSTEAD.get(path.suffix)
        raise ConfigError(
            f"FILE must end in one of {', '.join(FAMILIES)}. Got {path.name!r}"
            f"{f': {instead}' if instead else ''}."
        )
    if not path.is_file():
        raise ConfigError(f"FILE must be a file. Got {str(path)!r}, which is none.")
    if schema.network is not None and family != "linear":
        raise ConfigError(f"network is for a file of safetensors. Got {path.name!r}.")
    refuse_code(path, allowed=Allowed(files=frozenset({path.name} if family == "sklearn" else ())))
    n_features = sum(len(one.values or (0,)) for one in schema.features)
    match family:
        case "xgboost":
            return family, _xgboost(path, task)
        case "sklearn":
            return family, _sklearn(path, task, n_features)
        case "onnx":
            from raypipe.training.own.onnx_model import OnnxModel

            return family, OnnxModel.of_file(path, n_features, task.n_classes, schema.output)
        case _ if schema.network is not None:
            return "network", _network(path, task, schema, n_features, code)
        case _:
            return family, _linear(path, task)


def transform_of(schema: ImportSchema, columns: Mapping[str, Column], label: str) -> FittedTransform:
    """Return what makes the model's features of columns; raises ConfigError for one that does not fit."""
    steps = tuple(_step(feature, columns, label) for feature in schema.features)
    choices = {step.inputs[0].name: 0 for step in steps}
    for step in steps:
        choices[step.inputs[0].name] += len(step.feature_names)
    left_out = [name for name in columns if name not in choices]
    return FittedTransform(
        steps,
        (
            *(FeatureChoice(name, n, "is an input of the imported model") for name, n in choices.items()),
            *(FeatureChoice(name, 0, _why(name, label)) for name in left_out),
        ),
    )


def task_of(schema: ImportSchema, task: Task) -> Task:
    """Return the task with the classes in the model's order; raises ConfigError where they are others."""
    if sorted(map(str, schema.classes)) != sorted(map(str, task.classes)):
        raise ConfigError(
            f"classes must be those of the label {task.label!r}, in the model's order "
            f"({', '.join(map(str, task.classes)) or 'none: it is a number'}). "
            f"Got {', '.join(map(str, schema.classes)) or 'none'}."
        )
    own = {str(value): value for value in task.classes}
    return replace(task, classes=tuple(own[str(value)] for value in schema.classes))


def _why(name: str, label: str) -> str:
    return "is the label" if name == label else "is no input of the imported model"


def _step(feature: ImportedFeature, columns: Mapping[str, Column], label: str) -> FittedStep:
    column = columns.get(feature.column)
    if column is None or feature.column == label:
        known = [name for name in columns if name != label]
        near = suggest(feature.column, known)
        raise ConfigError(f"features must name columns of the data. Got {feature.column!r}: {near}")
    if feature.values is not None:
        return FittedCategory(replace(column, nullable=True), feature.values, rare=False, missing=False)
    if column.kind not in _NUMBERS:
        raise ConfigError(
            f"the feature {feature.column!r} must be a number, or have `values`. Got a column of the kind "
            f"{column.kind}."
        )
    required = replace(column, nullable=feature.fill is not None)
    return FittedNumber(required, feature.fill or 0.0, -FLOAT32_MAX, FLOAT32_MAX, 0.0, 1.0, indicator=False)


def _xgboost(path: Path, task: Task) -> Model:
    import xgboost

    from raypipe.training.families.xgboost_trees import XgboostModel, objective_of

    try:
        booster = xgboost.Booster(model_file=path)
    except (xgboost.core.XGBoostError, OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{path} is no XGBoost model: {first_line}.") from error
    if "c" in (booster.feature_types or ()):
        raise ArtifactError(
            f"{path} splits on categories itself, which is not supported; encode them before."
        )
    objective, n_classes = objective_of(booster)
    expected = {0: "reg:", 2: "binary:logistic"}.get(task.n_classes, "multi:softprob")
    if not objective.startswith(expected) or n_classes != task.n_classes:
        raise ArtifactError(
            f"{path} must have an objective {expected}... for the {task.n_classes} classes of the label "
            f"{task.label!r}. Got {objective} for {n_classes}."
        )
    return XgboostModel.of(booster, n_classes)


def _sklearn(path: Path, task: Task, n_features: int) -> Model:
    from raypipe.training.own.estimator import EstimatorModel
    from raypipe.training.own.keeping import BySkops
    from raypipe.training.own.skops_file import read

    fitted = read(path)
    kind = type(fitted)
    wanted = "predict_proba" if task.n_classes else "predict"
    if not callable(getattr(fitted, wanted, None)):
        raise ArtifactError(f"{path} must hold a fitted object with {wanted}. Got {kind.__qualname__}.")
    n_classes = len(getattr(fitted, "classes_", ())) if task.n_classes else 0
    if n_classes != task.n_classes:
        raise ArtifactError(
            f"{path} must answer for the {task.n_classes} classes of the label {task.label!r}. "
            f"Got {n_classes}."
        )
    return EstimatorModel(
        _description(f"{kind.__module__}:{kind.__name__}", task, n_features), fitted, BySkops()
    )


def _network(path: Path, task: Task, schema: ImportSchema, n_features: int, code: str | None) -> Model:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from raypipe.training.own.network import NetworkModel, made

    told = _description(str(schema.network), task, n_features, code)
    told = replace(told, params=schema.params, max_input=None)
    try:
        network = made(told.code(), n_features, task.n_classes or 1, dict(schema.params))
        network.load_state_dict(load_file(path))
    except (OSError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        what = " ".join(str(error).split())
        raise ArtifactError(f"{path} holds no weights of {schema.network}: {what}.") from error
    return NetworkModel(told, network, torch.zeros(n_features), torch.ones(n_features))


def _description(path: str, task: Task, n_features: int, code: str | None = None) -> OwnDescription:
    digest = modules_digest(path, code)
    return OwnDescription(path, digest, code, n_features, task.n_classes, is_positional=True)


def _linear(path: Path, task: Task) -> Model:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from raypipe.training.families.linear import Description, LinearModel

    try:
        arrays = load_file(path)
        coefficients = np.atleast_2d(arrays["coefficients"]).astype(np.float64)
        classes = tuple(range(task.n_classes))
        description = Description(
            "logistic" if classes else "ridge", coefficients.shape[1], task.n_classes, classes, converged=True
        )
        return LinearModel(description, coefficients, np.atleast_1d(arrays["intercept"]).astype(np.float64))
    except KeyError as error:
        raise ArtifactError(
            f"{path} must hold the arrays coefficients and intercept; it has no {error}."
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(f"{path} is no linear model: {error}.") from error
