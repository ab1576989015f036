"""From prepared rows to features and targets: in memory, or in files where the rows are on disk as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from raypipe.core.threads import in_threads
from raypipe.data.blocks import Block, StoredRows
from raypipe.data.schema import Column
from raypipe.data.split import Places
from raypipe.processing.out_of_fold import OutOfFold
from raypipe.processing.transform import FittedTransform
from raypipe.processing.where import features_of, over_ray_data
from raypipe.training.feature_files import FeatureFiles, writing
from raypipe.training.models import Float32Matrix
from raypipe.training.prepared import Prepared
from raypipe.training.preparing_files import destinations_of
from raypipe.training.race import TrainingSet, mapped
from raypipe.training.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

Made: TypeAlias = "tuple[Places, Float32Matrix, Target]"
"""Places among the rows of all parts, and the features and targets of these rows."""


def training_set(prepared: Prepared, compute: str, place: Path) -> TrainingSet:
    """Return the training and validation rows as features and targets; `compute` says where they are made.

    Where the rows are on disk, so are those: in files under `place`, which are written unless they are there
    already. Raises StorageError.
    """
    split, task, transform = prepared.split, prepared.task, prepared.transform
    if isinstance(split.train, StoredRows):
        files = written(prepared, compute, place)
        return mapped(files, task, transform.feature_names, prepared.windows, prepared.recipe)
    x_train = features_of(split.train, transform, compute)
    return TrainingSet(
        x_train=prepared.out_of_fold.replaced(x_train, split.train),
        y_train=task.encode(split.train[task.label]),
        x_validation=features_of(split.validation, transform, compute),
        y_validation=task.encode(split.validation[task.label]),
        task=task,
        feature_names=transform.feature_names,
        windows=prepared.windows,
        recipe=prepared.recipe,
    )


def judging_rows(prepared: Prepared, data: TrainingSet, compute: str) -> tuple[Float32Matrix, Target]:
    """Return the features and targets of the test rows."""
    if data.files is not None:
        return data.files.features(2), data.files.target(2)
    test = prepared.split.test
    return features_of(test, prepared.transform, compute), prepared.task.encode(test[prepared.task.label])


def written(prepared: Prepared, compute: str, place: Path) -> FeatureFiles:
    """Return the files of the features of rows on disk, a few blocks of which are in memory at a time."""
    parts = [part for part in prepared.split.parts if isinstance(part, StoredRows)]
    files = FeatureFiles(place, (parts[0].num_rows, parts[1].num_rows, parts[2].num_rows))
    if files.are_there:
        return files
    blocks = parts[0].blocks
    places = destinations_of([part.places for part in parts], blocks[-1].rows.stop)
    task = BlockTask(
        parts[0].columns, prepared.transform, prepared.out_of_fold, prepared.task, parts[0].num_rows
    )
    dtype = np.dtype(np.int64 if prepared.task.kind == "classification" else np.float64)
    with writing(files, len(prepared.transform.feature_names), dtype) as file:
        for made in _made(task, blocks, places, compute):
            file.write(*made)
    return files


@dataclass(frozen=True)
class BlockTask:
    """Makes features and targets of the rows of a block."""

    columns: tuple[Column, ...]
    transform: FittedTransform
    out_of_fold: OutOfFold
    task: Task
    n_train: int

    def __call__(self, block: Block, places: Places) -> Made:
        """Return them for the rows of which `places`, one for each, is not negative."""
        inputs = [column.name for column in self.transform.inputs]
        rows = block.read(self.columns, list(dict.fromkeys([*inputs, self.task.label])))
        if not (kept := places >= 0).all():
            rows, places = rows.filter(pa.array(kept)), places[kept]
        features = self.transform.transform_table(rows)
        trained = places < self.n_train
        if self.out_of_fold.encoded and trained.any():
            own = rows.filter(pa.array(trained))
            features[trained] = self.out_of_fold.replaced(features[trained], own, places[trained])
        return places, features, self.task.encode(rows[self.task.label])


def _made(task: BlockTask, blocks: tuple[Block, ...], places: Places, compute: str) -> Iterator[Made]:
    own = [places[block.rows] for block in blocks]
    if over_ray_data(compute, len(places)):
        from raypipe.training.on_ray.blocks import over_ray

        return over_ray(task, blocks, own)
    return in_threads(task, blocks, own)
