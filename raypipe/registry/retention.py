"""How long model versions are kept: which go, and how, so that a kill leaves nothing half there.

In order: one transaction calls the versions removed; only then their folders go, first out of sight under
another name and then file by file. What a kill leaves is of versions that are called removed already, and the
next time it goes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from raypipe.core.files import fsync_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.erasure.caches import LOCK_NAME
from raypipe.data.locks import try_lock
from raypipe.data.retention import KeptVersion, kept_by_rule
from raypipe.registry.config import ModelRetentionSettings
from raypipe.registry.values import ModelVersion

Needs: TypeAlias = Mapping[str, str]
_GOING = ".removed-"


@dataclass(frozen=True)
class RemovedModels:
    """What went, or would go."""

    removed: tuple[str, ...]
    """Versions, newest first."""
    kept: tuple[KeptVersion, ...]
    n_files: int
    """Also those that an earlier removal left which did not come to its end."""
    n_bytes: int
    is_dry: bool

    def to_json(self) -> Json:
        return asdict(self)


def reasons(
    versions: Sequence[ModelVersion], settings: ModelRetentionSettings, needs: Needs, now: datetime
) -> dict[str, str]:
    """Return why each version stays; those that are not named go. `versions` are newest first.

    A version stays if it is the newest, if `needs` gives a reason, or if either rule of the settings keeps
    it.
    """
    there = [one for one in versions if one.removed_at is None]
    found = {
        one.version: needs.get(one.version)
        or kept_by_rule(place, one.created_at, settings, now, "registry.retention")
        for place, one in enumerate(there)
    }
    return {version: why for version, why in found.items() if why is not None}


def folders_of(folder: PipelineHome, removed: Iterable[str], models: Sequence[ModelVersion]) -> list[Path]:
    """Return the folders that are left of versions, those of their runs included.

    A run's folder holds the models that it raced, and stays while a version that it made does.
    """
    going = set(removed)
    places = [
        place
        for version in sorted(going)
        for place in (_hidden(folder.model(version)), folder.model(version))
    ]
    needed = {one.run for one in models if one.removed_at is None and one.version not in going}
    runs = {one.run for one in models if one.version in going} - needed
    places += [folder.runs / run for run in sorted(runs) if run]
    return [place for place in places if place.is_dir()]


def measured(places: Iterable[Path]) -> tuple[int, int]:
    """Return how many files lie below folders, and their bytes."""
    sizes = [path.lstat().st_size for place in places for path in place.rglob("*") if not path.is_dir()]
    return len(sizes), sum(sizes)


def delete(
    folder: PipelineHome, places: Iterable[Path], on_step: Callable[[str], None] = lambda _: None
) -> None:
    """Delete folders for good; a run that is under way keeps its own until the next time.

    The turn must be held, in which models are made. `on_step` hears of each step. Raises StorageError.
    """
    for place in places:
        with storage_errors(place):
            if place.parent == folder.models:
                _delete_version(place, on_step)
            else:
                _delete_run(place)
            fsync_folder(place.parent)
            on_step("deleted")


def _hidden(place: Path) -> Path:
    return place if place.name.startswith(_GOING) else place.with_name(f"{_GOING}{place.name}")


def _delete_version(place: Path, on_step: Callable[[str], None]) -> None:
    """Delete a version's folder under another name, so that nobody finds half of it."""
    hidden = _hidden(place)
    if hidden != place:
        place.rename(hidden)
        fsync_folder(place.parent)
        on_step("hidden")
    shutil.rmtree(hidden)


def _delete_run(place: Path) -> None:
    lock = try_lock(place / LOCK_NAME)
    if lock is None:
        return
    try:
        shutil.rmtree(place)
    finally:
        os.close(lock)
