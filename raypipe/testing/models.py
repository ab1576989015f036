"""What a model must keep to so that a race, an endpoint and a batch can use it: run it on one of yours.

def test_my_model() -> None:
    check_model({"estimator": "mine.models:Forest", "params": {"n_trees": 50}})
"""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from raypipe.core.errors import ConfigError
from raypipe.testing.training import training_set
from raypipe.training.config import TrainingSettings
from raypipe.training.family import Family, Params, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model, load_model
from raypipe.training.own.families import check_models, own_families
from raypipe.training.own.signature import key_near, make_key
from raypipe.training.race import TrainingSet

Problem: TypeAlias = "str | None"
CLOSE = 1e-6
"""How far answers to one row may lie apart: that far golden rows may, too."""
_N_ALONE = 24
_TIMEOUT_S = 120
_ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from raypipe.training.models import load_model
model = load_model(Path(sys.argv[1]), sys.argv[2])
np.save(sys.argv[4], model.predict(np.load(sys.argv[3])))
"""


@dataclass(frozen=True)
class CheckedModel:
    """How a model did: what it is kept as, and what it broke, a sentence for each rule."""

    format: str
    problems: Mapping[str, str]
    alone: str
    """How rows are answered alone: `to the bit`, or how far from their answers in a batch."""
    again: str
    """How the model answers that a fresh process loaded, in the same words; or `not asked`."""


def check_model(
    model: Mapping[str, object] | Callable[..., object],
    *,
    n_classes: int = 2,
    data: TrainingSet | None = None,
    code: str | None = None,
    params: Params | None = None,
    seed: int = 0,
    elsewhere: bool = True,
) -> CheckedModel:
    """Train a model on small rows and hold it to the rules; raises AssertionError with all that it broke.

    `model` is what stands under a name in `training.models`, or a class, a torch module's class or a function
    itself. `n_classes` 0 is a regression; `data` brings other rows than the seeded ones; `code` is the folder
    of modules that are not installed; `params` replaces defaults of what is searched. Raises ConfigError for
    a model that a config could not name. With `elsewhere` a fresh process loads it too, which takes seconds.
    """
    rows = data or training_set(n_classes)
    declared = dict(model) if isinstance(model, Mapping) else {_kind(model): _path(model)}
    settings = TrainingSettings.model_validate(
        {"families": [], "models": {"checked": declared}, "code": code}
    )
    check_models(settings, rows.task)
    with TemporaryDirectory(prefix="raypipe-check-") as place:
        home = Path(place) / "runs" / "check"
        home.mkdir(parents=True)
        key = key_near(home)
        assert key is not None
        make_key(key)
        return check_family(
            own_families(settings, key)["checked"], rows, home, params=params, seed=seed, elsewhere=elsewhere
        )


def check_family(
    family: Family,
    data: TrainingSet,
    folder: Path,
    *,
    params: Params | None = None,
    seed: int = 0,
    elsewhere: bool = True,
) -> CheckedModel:
    """Hold a family to the rules that `check_model` holds models to; files go below `folder`."""
    return _Trial(family, data, folder, params or {}, seed).checked(elsewhere)


@dataclass
class _Trial:
    """One family on some rows."""

    family: Family
    data: TrainingSet
    folder: Path
    params: Params
    seed: int

    def checked(self, elsewhere: bool) -> CheckedModel:
        rules: dict[str, Callable[[], Problem]] = {
            "scores": self._scores,
            "inputs are left as they are": self._inputs,
            "equal seeds": self._seeds,
            "a row alone": self._alone,
            "kept and loaded": self._loaded,
            "rows like none before": self._edges,
            **({"another process": self._elsewhere} if elsewhere else {}),
        }
        assert self.model is not None  # What cannot be trained breaks no rule: it raises.
        problems = {name: said for name, rule in rules.items() if (said := _said(rule))}
        if problems:
            told = "\n".join(f"  {name}: {said}" for name, said in problems.items())
            raise AssertionError(f"the model {self.family.name} breaks {len(problems)} rules:\n{told}")
        return CheckedModel(
            self.model.format,
            problems,
            _apart(self._singly, self._batch),
            _apart(self._fresh, self._batch) if elsewhere else "not asked",
        )

    @cached_property
    def model(self) -> Model:
        return self._trained()

    @cached_property
    def _x(self) -> Float32Matrix:
        return self.data.x_validation

    @cached_property
    def _batch(self) -> Float64Array:
        return self.model.predict(self._x)

    @cached_property
    def _singly(self) -> Float64Array:
        some = [self.model.predict(self._x[i : i + 1]) for i in range(min(_N_ALONE, len(self._x)))]
        return np.concatenate(some)

    @cached_property
    def _kept(self) -> Path:
        folder = self.folder / "kept"
        folder.mkdir()
        self.model.save(folder)
        return folder

    @cached_property
    def _fresh(self) -> Float64Array:
        rows, answers = self.folder / "rows.npy", self.folder / "answers.npy"
        np.save(rows, self._x)
        command = [sys.executable, "-c", _ELSEWHERE, str(self._kept), self.model.format]
        done = subprocess.run(
            [*command, str(rows), str(answers)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        if done.returncode:
            raise AssertionError((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
        found: Float64Array = np.load(answers)
        return found

    def _trained(self) -> Model:
        space = self.family.space(self.data.task)
        params = {**{one.name: one.default for one in space}, **self.params}
        rungs = 3 if self.family.in_parts else 1
        *_, (_, model) = self.family.train(params, self.data, Terms(rungs, self.seed, 1))
        return model

    def _scores(self) -> Problem:
        n_classes, found = self.data.task.n_classes, self._batch
        wanted = (len(self._x), n_classes) if n_classes else (len(self._x),)
        if found.shape != wanted or found.dtype != np.float64:
            return f"must have the shape {wanted} in float64. Got {found.shape} in {found.dtype}"
        if not np.isfinite(found).all():
            return "must be finite"
        if n_classes and not np.allclose(found.sum(axis=1), 1.0, atol=CLOSE):
            return f"must add up to 1 in each row. Got {found.sum(axis=1)[0]:g}"
        return None

    def _inputs(self) -> Problem:
        """Train and ask on rows that cannot be written, as those of Ray's object store cannot."""
        data = self.data
        arrays = (data.x_train, data.y_train, data.x_validation)
        copies, flags = [one.copy() for one in arrays], [one.flags.writeable for one in arrays]
        try:
            for one in arrays:
                one.setflags(write=False)
            self._trained().predict(data.x_validation)
        except ValueError as error:
            return f"rows must not be written into: {error}"
        finally:
            for one, flag in zip(arrays, flags, strict=True):
                one.setflags(write=flag)
        changed = any(not np.array_equal(one, copy) for one, copy in zip(arrays, copies, strict=True))
        return "rows must stay as they are. Got others after training" if changed else None

    def _seeds(self) -> Problem:
        again = self._trained().predict(self._x)
        if np.array_equal(again, self._batch):
            return None
        return f"must train the same model (take `random_state`). Got answers {_apart(again, self._batch)}"

    def _alone(self) -> Problem:
        backwards = self.model.predict(np.ascontiguousarray(self._x[::-1]))[::-1]
        for how, found in (("alone", self._singly), ("in another order", backwards)):
            if not _is_close(found, self._batch):
                return f"must be answered as in a batch. Got answers {_apart(found, self._batch)} {how}"
        return None

    def _loaded(self) -> Problem:
        found = load_model(self._kept, self.model.format).predict(self._x)
        equal = np.array_equal(found, self._batch)
        return None if equal else f"must answer as before. Got answers {_apart(found, self._batch)}"

    def _elsewhere(self) -> Problem:
        """Be sent and loaded where nothing is imported yet, as in a worker, a replica or a job."""
        sent = pickle.loads(pickle.dumps(self.family))
        if sent.name != self.family.name:
            return "must arrive in a worker as it was sent"
        try:
            found = self._fresh
        except AssertionError as error:
            return f"must be loaded by a fresh process: {error}"
        return None if _is_close(found, self._batch) else f"got answers {_apart(found, self._batch)}"

    def _edges(self) -> Problem:
        width = self._x.shape[1]
        rows = np.zeros((4, width), np.float32)
        rows[1], rows[2] = 100 * self.data.x_train.max(), 100 * self.data.x_train.min()
        rows[3] = self.data.x_train[0]
        for some in (rows, rows[:0]):
            found = self.model.predict(some)
            if len(found) != len(some) or not np.isfinite(found).all():
                return f"{len(some)} rows must be answered by finite numbers. Got {found}"
        return None


def _said(rule: Callable[[], Problem]) -> Problem:
    try:
        return rule()
    except Exception as error:  # noqa: BLE001 - whatever code of a user's raises is told
        return f"{type(error).__name__}: {error}"


def missing_class(data: TrainingSet) -> TrainingSet:
    """Return the same rows with one class that no training row has, as rare classes happen to be missing."""
    last = data.task.n_classes - 1
    return replace(data, y_train=np.where(data.y_train == last, last - 1, data.y_train))


def _is_close(found: Float64Array, expected: Float64Array) -> bool:
    return bool(np.allclose(found, expected[: len(found)], rtol=CLOSE, atol=CLOSE))


def _apart(found: Float64Array, expected: Float64Array) -> str:
    expected = expected[: len(found)]
    if np.array_equal(found, expected):
        return "to the bit"
    far = np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0)
    return f"{far:.1e} apart"


def _kind(given: object) -> str:
    if inspect.isfunction(given):
        return "function"
    if not inspect.isclass(given):
        raise ConfigError(
            "check_model takes a class, a function, or what stands under a name in training.models. Got "
            f"{type(given).__name__}: name an object by its import path, {{'estimator': 'module:name'}}."
        )
    bases = {f"{one.__module__}.{one.__qualname__}" for one in given.__mro__}
    return "network" if "torch.nn.modules.module.Module" in bases else "estimator"


def _path(given: Callable[..., object]) -> str:
    name = str(getattr(given, "__qualname__", type(given).__name__))
    if "." in name or given.__module__ == "__main__":
        raise ConfigError(
            f"a model must stand at the top of a module, which workers and replicas can import. Got "
            f"{name} of {given.__module__}."
        )
    return f"{given.__module__}:{name}"
