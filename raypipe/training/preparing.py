"""From split rows to what a run learns from: the task, and the transform fitted on the training part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raypipe.training.prepared import Prepared

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.core.home import PipelineHome
    from raypipe.data.config import DataSettings
    from raypipe.data.profile import Profile
    from raypipe.data.schema import Column
    from raypipe.data.split import Split
    from raypipe.data.versions import DataVersion
    from raypipe.processing.config import ProcessingSettings
    from raypipe.training.config import TrainingSettings
    from raypipe.training.preparing_files import StoredVersion


def prepared_version(
    folder: PipelineHome,
    version: DataVersion,
    *,
    data: DataSettings,
    processing: ProcessingSettings,
    training: TrainingSettings,
) -> Prepared:
    """Split the rows of a version and fit on the training part: in memory, or from files where they are many.

    Both give the same, to the bit. Raises LabelError, ConfigError and DataError.
    """
    from raypipe.data.fragments import read_numbered
    from raypipe.data.split import split_rows

    if (stored := _stored(folder, version, data, processing, training)) is not None:
        return stored.prepared(stored.cut())
    rows = _distinct(folder, version, read_numbered(folder, version), data, processing)
    split = split_rows(rows, data.split, time=data.time, seed=training.seed)
    return prepared_from(folder, version, rows, split, data=data, processing=processing, training=training)


def prepared_grown(
    folder: PipelineHome,
    version: DataVersion,
    *,
    known: DataVersion | None,
    max_rows: int,
    data: DataSettings,
    processing: ProcessingSettings,
    training: TrainingSettings,
) -> Prepared:
    """Do the same so that only live rows choose and judge which the version `known` does not hold.

    At most `max_rows` do each. Raises DataError where there are too few.
    """
    from raypipe.data.growth import live_ids, read_grown, split_grown

    seen = live_ids(folder, known) if known else frozenset()
    if (stored := _stored(folder, version, data, processing, training)) is not None:
        return stored.prepared(stored.cut_grown(max_rows, seen))
    rows = _distinct(folder, version, read_grown(folder, version), data, processing)
    split = split_grown(rows, data.split, max_rows=max_rows, seen=seen, time=data.time)
    return prepared_from(folder, version, rows, split, data=data, processing=processing, training=training)


def _stored(
    folder: PipelineHome,
    version: DataVersion,
    data: DataSettings,
    processing: ProcessingSettings,
    training: TrainingSettings,
) -> StoredVersion | None:
    """Return the version as it is read from files; None where its rows are few enough for memory."""
    from raypipe.processing.where import in_memory
    from raypipe.training.preparing_files import StoredVersion

    if in_memory(version.n_rows, len(version.columns), processing.in_memory_cells):
        return None
    return StoredVersion.of(folder, version, data=data, processing=processing, training=training)


def _distinct(
    folder: PipelineHome,
    version: DataVersion,
    rows: pa.Table,
    data: DataSettings,
    processing: ProcessingSettings,
) -> pa.Table:
    from raypipe.processing.duplicates import without_duplicates

    names = [column.name for column in version.columns]
    return without_duplicates(
        rows, processing.deduplicate, names, data.time, keys=folder.keys, scratch=folder.scratch
    )


def prepared_from(
    folder: PipelineHome,
    version: DataVersion,
    rows: pa.Table,
    split: Split,
    *,
    data: DataSettings,
    processing: ProcessingSettings,
    training: TrainingSettings,
) -> Prepared:
    """Fit on the training part of `split`; its rows say of which fragment they are, those returned do not.

    `rows` are all that were split, after deduplication. Raises LabelError and ConfigError.
    """
    from raypipe.data.fragments import NUMBER_COLUMN
    from raypipe.data.profiles import profile_of_part, version_profile

    version_profile(folder, version)
    profile = profile_of_part(folder, version, split.train)
    return prepared_rows(
        rows[data.label_name],
        split.without(NUMBER_COLUMN),
        profile,
        version.columns,
        data=data,
        processing=processing,
        training=training,
        n_duplicates=version.n_rows - rows.num_rows,
    )


def prepared_rows(
    labels: pa.ChunkedArray,
    split: Split,
    profile: Profile,
    columns: tuple[Column, ...],
    *,
    data: DataSettings,
    processing: ProcessingSettings,
    training: TrainingSettings,
    n_duplicates: int = 0,
) -> Prepared:
    """Fit on the training part of `split`, of which `profile` is; `labels` are of all its rows.

    `n_duplicates` rows were left out before. Raises LabelError and ConfigError.
    """
    from raypipe.processing.target import Target
    from raypipe.processing.training_part import fit_training
    from raypipe.training.task import infer_task

    label = data.label_name
    task = infer_task(training, label, labels)
    fitted = fit_training(
        profile,
        split.train,
        lambda: Target(task.encode(split.train[label]), tuple(map(str, task.classes))),
        columns,
        data,
        processing,
        in_order=split.by == "time",
        n_duplicates=n_duplicates,
    )
    return Prepared(split, task, fitted.transform, profile, fitted.out_of_fold)
