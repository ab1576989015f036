"""From split rows to what a run learns from: the task, and the transform fitted on the training part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raypipe.training.prepared import Prepared

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.core.home import PipelineHome
    from raypipe.data.config import DataSettings
    from raypipe.data.split import Split
    from raypipe.data.versions import DataVersion
    from raypipe.processing.config import ProcessingSettings
    from raypipe.training.config import TrainingSettings


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
    from raypipe.processing.target import Target
    from raypipe.processing.training_part import fit_training
    from raypipe.training.task import infer_task

    label = data.label_name
    version_profile(folder, version)
    task = infer_task(training, label, rows[label])
    profile = profile_of_part(folder, version, split.train)
    split = split.without(NUMBER_COLUMN)
    fitted = fit_training(
        profile,
        split.train,
        lambda: Target(task.encode(split.train[label]), tuple(map(str, task.classes))),
        version.columns,
        data,
        processing,
        in_order=split.by == "time",
        n_duplicates=version.n_rows - rows.num_rows,
    )
    return Prepared(split, task, fitted.transform, profile, fitted.out_of_fold)
