"""How a fitted model of the user's own is kept: by its own saver, by skops, or as a signed pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from raypipe.core.errors import ArtifactError, TrainingError
from raypipe.core.files import storage_errors
from raypipe.core.imports import loaded
from raypipe.training.own import signature, skops_file
from raypipe.training.own.description import NAME, OwnDescription

if TYPE_CHECKING:
    from raypipe.training.own.config import OwnModel

SAVED = "saved"
"""The folder that a saver of the user's own writes into."""
Load: TypeAlias = "Callable[[Path, OwnDescription], Any]"
_N_NAMED = 3


class Keeper(Protocol):
    """Writes one fitted model."""

    @property
    def format(self) -> str: ...

    def save(self, fitted: Any, told: OwnDescription, folder: Path) -> None: ...


@dataclass(frozen=True)
class BySkops:
    """As scikit-learn's own types, and those of the model's module."""

    format = "sklearn-skops"

    def save(self, fitted: Any, told: OwnDescription, folder: Path) -> None:
        told.write(folder)
        with storage_errors(folder):
            (folder / skops_file.NAME).write_bytes(skops_file.kept_bytes(fitted))


@dataclass(frozen=True)
class BySaver:
    """By `save(folder)` of its class, or by a function of the config; `load_path` gets it back."""

    load_path: str
    save_path: str | None = None

    format = "own-saver"

    def save(self, fitted: Any, told: OwnDescription, folder: Path) -> None:
        replace(told, load_path=self.load_path).write(folder)
        with storage_errors(folder):
            (folder / SAVED).mkdir()
        if self.save_path is None:
            fitted.save(folder / SAVED)
        else:
            loaded(self.save_path, told.code_folder)(fitted, folder / SAVED)


@dataclass(frozen=True)
class BySignedPickle:
    """As a pickle that only this home loads."""

    key: Path

    format = "pickle-signed"

    def save(self, fitted: Any, told: OwnDescription, folder: Path) -> None:
        told.write(folder)
        with storage_errors(folder):
            signature.sign(folder, pickle.dumps(fitted), self.key, (folder / NAME).read_bytes())


def keeper_of(name: str, settings: OwnModel, fitted: Any, key: Path | None) -> Keeper:
    """Return what keeps a fitted model; raises TrainingError, which says how it could be kept, for one that
    nothing keeps.
    """
    kind = type(fitted)
    if settings.saver is not None:
        return BySaver(settings.saver.load, settings.saver.save)
    if callable(getattr(kind, "save", None)) and callable(getattr(kind, "load", None)):
        return BySaver(f"{kind.__module__}:{kind.__qualname__}")
    why = _why_not_skops(fitted, settings.path.partition(":")[0])
    if why is None:
        return BySkops()
    if settings.allow_pickle and key is not None:
        return BySignedPickle(key)
    raise TrainingError(
        f"the fitted model {name} ({kind.__module__}.{kind.__qualname__}) cannot be kept as data: {why}. "
        "Give its class `save(self, folder)` and a static `load(folder)`, or name two functions in "
        f"`training.models.{name}.saver: {{save: module:name, load: module:name}}`, or let it be a pickle "
        "that only this home loads, signed by it: `allow_pickle: true`."
    )


def kept_by(format: str, told: OwnDescription, folder: Path) -> tuple[Keeper, Load]:
    """Return what kept the model in a folder, and what gets it back."""
    if format == BySkops.format:
        return BySkops(), _skops_model
    if format == BySignedPickle.format:
        return BySignedPickle(signature.key_near(folder) or folder / signature.KEY_NAME), _pickled_model
    if not isinstance(told.load_path, str):
        raise ArtifactError(f"{folder} must say what loads its model, and says nothing; restore the folder.")
    return BySaver(told.load_path), _saved_model


def _skops_model(folder: Path, told: OwnDescription) -> Any:
    return skops_file.read(folder / skops_file.NAME, told.path.partition(":")[0])


def _saved_model(folder: Path, told: OwnDescription) -> Any:
    found = loaded(str(told.load_path), told.code_folder)
    return _made(str(told.load_path), lambda: getattr(found, "load", found)(folder / SAVED))


def _pickled_model(folder: Path, told: OwnDescription) -> Any:
    data = signature.signed_bytes(folder, (folder / NAME).read_bytes())
    return _made(told.path, lambda: pickle.loads(data))


def _why_not_skops(fitted: Any, module: str) -> str | None:
    try:
        refused = skops_file.refused_types(skops_file.kept_bytes(fitted), module)
    except TypeError as error:
        return str(error)
    if not refused:
        return None
    named = ", ".join(refused[:_N_NAMED]) + (", ..." if len(refused) > _N_NAMED else "")
    return f"it holds types that are not loaded, as they might run code ({named})"


def _made(path: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        raise ArtifactError(
            f"{path} did not load its model ({type(error).__name__}: {error}); nothing else can."
        ) from error
