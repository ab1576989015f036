"""From the files of a data version to what a run learns from, with a few blocks of rows in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.threads import in_threads
from raypipe.data.blocks import Block, StoredRows, blocks_of
from raypipe.data.growth import cut_grown
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.profiles import profile_of_chosen, version_profile
from raypipe.data.split import Cut, Places, Split, cut_rows
from raypipe.processing.duplicates import kept_rows, read_by
from raypipe.processing.joint import Joint, JointPlan
from raypipe.processing.target import Target
from raypipe.processing.training_part import fit_training
from raypipe.training.prepared import Prepared
from raypipe.training.task import Task, infer_task

if TYPE_CHECKING:
    from raypipe.core.home import PipelineHome
    from raypipe.data.config import DataSettings, SplitSettings
    from raypipe.data.versions import DataVersion
    from raypipe.processing.config import DeduplicateSettings, ProcessingSettings
    from raypipe.processing.out_of_fold import Folds
    from raypipe.training.config import TrainingSettings


@dataclass(frozen=True)
class StoredVersion:
    """A data version as blocks of its files, and the settings by which it is learned from."""

    folder: PipelineHome
    version: DataVersion
    blocks: tuple[Block, ...]
    data: DataSettings
    processing: ProcessingSettings
    training: TrainingSettings

    @classmethod
    def of(
        cls,
        folder: PipelineHome,
        version: DataVersion,
        *,
        data: DataSettings,
        processing: ProcessingSettings,
        training: TrainingSettings,
    ) -> StoredVersion:
        """Find the blocks of a version; raises DataError where a file is gone."""
        return cls(folder, version, blocks_of(folder, version), data, processing, training)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.version.columns]

    def cut(self) -> Cut:
        """Cut the rows that are left after deduplication as `split_rows` does."""
        return cut_version(
            self.folder,
            self.version,
            self.blocks,
            split=self.data.split,
            time=self.data.time,
            seed=self.training.seed,
            deduplicate=self.processing.deduplicate,
        )

    def cut_grown(self, max_rows: int, seen: frozenset[str]) -> Cut:
        """Cut the rows that are left as `split_grown` does; their ids and times are in memory."""
        places = distinct_places(
            self.folder, self.version, self.blocks, self.processing.deduplicate, self.data.time
        )
        times = [] if self.data.time is None else [self.data.time]
        keys = self.rows(places).select([ID_COLUMN, AT_COLUMN, *times]).take(np.arange(len(places)))
        cut = cut_grown(keys, self.data.split, max_rows=max_rows, seen=seen, time=self.data.time)
        return cut.among(places)

    def rows(self, places: Places) -> StoredRows:
        return StoredRows(self.blocks, self.version.columns, places, self.names)

    def prepared(self, cut: Cut) -> Prepared:
        """Fit on the training part, as `raypipe.training.preparing` does of rows in memory, to the bit.

        Raises LabelError and ConfigError.
        """
        version_profile(self.folder, self.version)
        place = destinations_of((cut.train, cut.validation, cut.test), self.version.n_rows)
        n_train = len(cut.train)
        profile = profile_of_chosen(self.folder, self.version, self.blocks, (place >= 0) & (place < n_train))
        task = infer_task(self.training, self.data.label_name, self._labels(place))
        fitted = fit_training(
            profile,
            self.rows(cut.train),
            _not_in_memory,
            self.version.columns,
            self.data,
            self.processing,
            in_order=cut.by == "time",
            n_duplicates=self.version.n_rows - int(np.count_nonzero(place >= 0)),
            read=lambda plan, folds: self._joint(plan, folds, task, place, n_train),
        )
        split = Split(
            self.rows(cut.train), self.rows(cut.validation), self.rows(cut.test), cut.by, cut.boundaries
        )
        return Prepared(split, task, fitted.transform, profile, fitted.out_of_fold)

    def _labels(self, place: Places) -> pa.ChunkedArray:
        """Return the distinct labels of each block: what a task follows from."""
        label = self.data.label_name

        def of(block: Block) -> pa.Array:
            labels = block.read(self.version.columns, [label])[label]
            return pc.unique(labels.filter(pa.array(place[block.rows] >= 0)))

        return pa.chunked_array(list(in_threads(of, self.blocks)))

    def _joint(self, plan: JointPlan, folds: Folds, task: Task, place: Places, n_train: int) -> Joint:
        classes, label = tuple(map(str, task.classes)), self.data.label_name

        def of(block: Block) -> Joint:
            own = place[block.rows]
            chosen = (own >= 0) & (own < n_train)
            rows = block.read(self.version.columns, self.names).filter(pa.array(chosen))
            return Joint.of(rows, plan, Target(task.encode(rows[label]), classes), folds, own[chosen])

        return reduce(Joint.merge, in_threads(of, self.blocks))


def cut_version(
    folder: PipelineHome,
    version: DataVersion,
    blocks: tuple[Block, ...],
    *,
    split: SplitSettings,
    time: str | None,
    seed: int,
    deduplicate: DeduplicateSettings | None,
) -> Cut:
    """Cut the rows of a version that are left after deduplication; of the rows only times are in memory."""
    places = distinct_places(folder, version, blocks, deduplicate, time)
    rows = StoredRows(blocks, version.columns, places, [column.name for column in version.columns])
    cut = cut_rows(None if time is None else rows[time], len(places), split, seed=seed)
    return cut if len(places) == version.n_rows else cut.among(places)


def distinct_places(
    folder: PipelineHome,
    version: DataVersion,
    blocks: tuple[Block, ...],
    settings: DeduplicateSettings | None,
    time: str | None,
) -> Places:
    """Return the places of the rows that are left after deduplication; raises what `kept_rows` does."""
    if settings is None:
        return np.arange(version.n_rows)
    names = [column.name for column in version.columns]
    read = read_by(settings, names, time)
    kept = kept_rows(
        (block.read(version.columns, read) for block in blocks),
        version.n_rows,
        settings,
        names,
        time,
        keys=folder.keys,
        scratch=folder.scratch,
    )
    return np.flatnonzero(kept)


def destinations_of(parts: Sequence[Places], n_rows: int) -> Places:
    """Return for each row its place among the rows of all parts, one part after the other; -1 for none."""
    found = np.full(n_rows, -1, np.int64)
    start = 0
    for part in parts:
        found[part] = np.arange(start, start + len(part))
        start += len(part)
    return found


def _not_in_memory() -> Target:
    raise AssertionError("the labels of stored rows are read block by block")
