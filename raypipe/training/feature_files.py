"""The features and targets of all rows in two files, which are mapped into memory where they are read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from raypipe.core.files import storage_errors
from raypipe.data.split import Places
from raypipe.training.models import Float32Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

_FEATURES, _TARGET, _PART = "features.npy", "target.npy", ".part"


@dataclass(frozen=True)
class FeatureFiles:
    """Rows of the training, validation and test part, one part after the other."""

    folder: Path
    n_rows: tuple[int, int, int]
    """Of each part."""

    def features(self, part: int) -> Float32Matrix:
        """Return the features of a part, shape (n_rows, n_features), not read before they are looked at."""
        found: Float32Matrix = np.load(self.folder / _FEATURES, mmap_mode="r")[self._rows(part)]
        return found

    def target(self, part: int) -> Target:
        """Return the class codes (int64) or values (float64) of a part, likewise."""
        found: Target = np.load(self.folder / _TARGET, mmap_mode="r")[self._rows(part)]
        return found

    @property
    def are_there(self) -> bool:
        """Whether both files have been written to their end."""
        return self.folder.is_dir()

    def _rows(self, part: int) -> slice:
        start = sum(self.n_rows[:part])
        return slice(start, start + self.n_rows[part])


class FeatureWriter:
    """Writes features and targets at their rows' places, in any order."""

    def __init__(self, folder: Path, n_rows: int, n_features: int, target: np.dtype[np.generic]) -> None:
        self._features = _created(folder / _FEATURES, np.dtype(np.float32), (n_rows, n_features))
        self._target = _created(folder / _TARGET, target, (n_rows,))

    def write(self, places: Places, features: Float32Matrix, target: Target) -> None:
        """Write rows at places among the rows of all parts."""
        first, last = (int(places[0]), int(places[-1])) if len(places) else (0, -1)
        at = slice(first, last + 1) if _follow(places) else places
        self._features[at] = features
        self._target[at] = target

    def close(self) -> None:
        """Hand all that was written over to the operating system."""
        self._features.flush()
        self._target.flush()


@contextmanager
def writing(files: FeatureFiles, n_features: int, target: np.dtype[np.generic]) -> Iterator[FeatureWriter]:
    """Write files that are there once the block ends, and not before; raises StorageError."""
    staged = files.folder.with_name(files.folder.name + _PART)
    with storage_errors(files.folder):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        writer = FeatureWriter(staged, sum(files.n_rows), n_features, target)
        yield writer
        writer.close()
        staged.rename(files.folder)


def _created(path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> np.memmap:
    """Return a file of zeros whose room is taken: at a full disk a mapped page would end the process."""
    made: np.memmap = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return made


def _follow(places: Places) -> bool:
    return bool((np.diff(places) == 1).all())
