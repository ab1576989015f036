"""Whatever has `fit` and `predict`: trained once, and asked for probabilities or values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.core.errors import ArtifactError, ConfigError, TrainingError
from raypipe.core.imports import loaded, modules_digest
from raypipe.training.family import Parameter, Params, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.own.description import OwnDescription
from raypipe.training.own.keeping import Keeper, keeper_of, kept_by
from raypipe.training.own.outputs import asked
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    from raypipe.training.own.config import OwnModel


@dataclass(frozen=True)
class EstimatorModel:
    """A fitted object of the user's own."""

    told: OwnDescription
    fitted: Any
    keeper: Keeper

    @property
    def format(self) -> str:
        return self.keeper.format

    def predict(self, features: Float32Matrix) -> Float64Array:
        if not self.told.n_classes:
            return asked(self.told, self.fitted.predict, features)
        classes = None if self.told.is_positional else getattr(self.fitted, "classes_", None)
        codes = None if classes is None else [int(code) for code in classes]
        return asked(self.told, self.fitted.predict_proba, features, codes)

    def save(self, folder: Path) -> None:
        self.keeper.save(self.fitted, self.told, folder)


@dataclass(frozen=True)
class EstimatorFamily:
    """An estimator by import path; in one part, so it is never stopped early."""

    name: str
    settings: OwnModel
    code_folder: str | None = None
    key: Path | None = None
    """The key that signs a pickle, where the settings allow one."""

    in_parts = False

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        return self.settings.space()

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        from threadpoolctl import threadpool_limits

        estimator = built(self.name, self.settings, params, self.code_folder)
        _set_everywhere(estimator, "random_state", terms.seed, where_unset=True)
        _set_everywhere(estimator, "n_jobs", terms.n_threads, where_unset=False)
        told = self._description(data)
        with threadpool_limits(limits=terms.n_threads):
            fitted = estimator.fit(_rows(told, data), data.y_train)
        # Some return nothing, and some another object.
        fitted = estimator if fitted is None else fitted
        _set_everywhere(fitted, "n_jobs", 1, where_unset=False)
        yield 1, self._model(told, fitted)

    def cannot_continue(self) -> str | None:
        first = {one.name: one.default for one in self.settings.space()}
        made = built(self.name, self.settings, first, self.code_folder)
        if hasattr(made, "partial_fit") or _warm(made):
            return None
        return f"{self.settings.path} has neither partial_fit nor warm_start"

    def train_on(
        self, model: Model, _: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Let it learn the rows beside what it knows: by `partial_fit`, or by `fit` with `warm_start`."""
        from threadpoolctl import threadpool_limits

        assert isinstance(model, EstimatorModel)
        fitted, rows = model.fitted, _rows(model.told, data)
        with threadpool_limits(limits=terms.n_threads):
            if hasattr(fitted, "partial_fit"):
                fitted.partial_fit(rows, data.y_train)
            else:
                fitted.set_params(warm_start=True)
                if "n_estimators" in fitted.get_params():
                    n = int(fitted.get_params()["n_estimators"])
                    fitted.set_params(n_estimators=n + max(1, n // 4))
                fitted.fit(rows, data.y_train)
        yield 1, model

    def check(self, task: Task) -> None:
        """Raise ConfigError where the path names nothing that can be trained for a task."""
        where = f"training.models.{self.name}.estimator"
        first = {one.name: one.default for one in self.settings.space()}
        made = built(self.name, self.settings, first, self.code_folder)
        wanted = ("fit", "predict_proba" if task.n_classes else "predict")
        lacking = [name for name in wanted if not callable(getattr(made, name, None))]
        if lacking:
            hint = (
                "; sklearn.calibration.CalibratedClassifierCV gives probabilities to a classifier without"
                if lacking == ["predict_proba"]
                else ""
            )
            kind = type(made)
            raise ConfigError(
                f"{where} must give an object with {' and '.join(wanted)} for a {task.kind}. Got "
                f"{kind.__module__}.{kind.__qualname__} by {self.settings.path}, which has no "
                f"{' and no '.join(lacking)}{hint}."
            )

    def _description(self, data: TrainingSet) -> OwnDescription:
        path = self.settings.path
        return OwnDescription(
            path=path,
            code_sha256=modules_digest(path, self.code_folder),
            code_folder=self.code_folder,
            n_features=data.x_train.shape[1],
            n_classes=data.task.n_classes,
            feature_names=data.feature_names if self.settings.frame else None,
            params=self.settings.params,
        )

    def _model(self, told: OwnDescription, fitted: Any) -> Model:
        if type(fitted).__module__.partition(".")[0] == "xgboost" and self.settings.saver is None:
            return _of_xgboost(self.name, told, fitted)
        return EstimatorModel(told, fitted, keeper_of(self.name, self.settings, fitted, self.key))


def _rows(told: OwnDescription, data: TrainingSet) -> Any:
    """Return the training rows as the object takes them."""
    if told.feature_names is None:
        return data.x_train
    import pandas as pd

    return pd.DataFrame(data.x_train, columns=list(told.feature_names), copy=True)


def _warm(estimator: Any) -> bool:
    return hasattr(estimator, "get_params") and "warm_start" in estimator.get_params(deep=False)


def load_estimator(folder: Path, format: str) -> EstimatorModel:
    """Return the model that a keeper wrote into a folder; raises ArtifactError."""
    told = OwnDescription.read(folder)
    keeper, load = kept_by(format, told, folder)
    told.code()
    fitted = load(folder, told)
    wanted = "predict_proba" if told.n_classes else "predict"
    if not callable(getattr(fitted, wanted, None)):
        raise ArtifactError(f"{folder} must hold an object with {wanted}. Got {type(fitted).__name__}.")
    return EstimatorModel(told, fitted, keeper)


def built(name: str, settings: OwnModel, params: Params, code_folder: str | None) -> Any:
    """Return the unfitted object that a path names, with parameters; raises ConfigError."""
    where = f"training.models.{name}"
    try:
        found = loaded(settings.path, code_folder)
    except ArtifactError as error:
        raise ConfigError(f"{where}.estimator: {error}") from error
    given: Mapping[str, Any] = {**settings.params, **params}
    try:
        if inspect.isclass(found) or not hasattr(found, "fit"):
            if not callable(found):
                raise ConfigError(
                    f"{where}.estimator must name a class, a function that makes an estimator, or an object "
                    f"with fit. Got {settings.path}, which is {type(found).__name__}."
                )
            return found(**given)
        return _copied(found, given)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {settings.path} does not take {dict(given)!r} ({type(error).__name__}: {error})."
        ) from error


def _copied(found: Any, params: Mapping[str, Any]) -> Any:
    """Return an unfitted copy of an object that a module holds; that one stays as it is."""
    if hasattr(found, "get_params"):
        from sklearn.base import clone

        copy = clone(found)
    else:
        copy = deepcopy(found)
    if params:
        if not hasattr(copy, "set_params"):
            raise TypeError("an object takes params by set_params, which it has not; name its class")
        copy.set_params(**params)
    return copy


def _set_everywhere(estimator: Any, name: str, value: int, *, where_unset: bool) -> None:
    """Set a parameter of an estimator and of those within it, where it has no value, or where it has one."""
    if not (hasattr(estimator, "get_params") and hasattr(estimator, "set_params")):
        return
    found = {
        key: was
        for key, was in estimator.get_params(deep=True).items()
        if key == name or key.endswith(f"__{name}")
    }
    wanted = {key: value for key, was in found.items() if (was is None) is where_unset}
    if wanted:
        estimator.set_params(**wanted)


def _of_xgboost(name: str, told: OwnDescription, fitted: Any) -> Model:
    """Return XGBoost's estimator as the house's own model: kept as UBJ, exported like any other."""
    from raypipe.training.families.xgboost_trees import XgboostModel, objective_of

    booster = fitted.get_booster()
    best = (
        getattr(fitted, "best_iteration", None) if fitted.get_params().get("early_stopping_rounds") else None
    )
    booster = booster if best is None else booster[: best + 1]
    _, n_classes = objective_of(booster)
    if n_classes != told.n_classes:
        raise TrainingError(
            f"{name} ({told.path}) must answer for the {told.n_classes} classes of the label. Got a model of "
            f"{n_classes}: each class must be among the training rows, and 0 is a model of numbers."
        )
    return XgboostModel.of(booster, n_classes)
