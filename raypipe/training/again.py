"""What is learned, or judged, in the place of a search: from a champion's parameters, or without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from raypipe.core.errors import DataError
from raypipe.registry.manifest import read_manifest
from raypipe.training.prepared import Prepared
from raypipe.training.recipe import cannot_refit, recipe_of
from raypipe.training.task import Task

if TYPE_CHECKING:
    from raypipe.core.home import PipelineHome
    from raypipe.data.versions import DataVersion
    from raypipe.registry.values import ModelVersion
    from raypipe.training.config import TrainingSettings


def refitted(
    prepared: Prepared, folder: PipelineHome, champion: ModelVersion, settings: TrainingSettings
) -> Prepared:
    """Return the same rows for one trial by the champion's family and parameters, of these rows' transform.

    Where the family is not to be had any more, they are for a search, and `note` says so.
    """
    manifest = read_manifest(folder.model(champion.version), champion.manifest_sha256)
    recipe = recipe_of(manifest.family, manifest.params, settings)
    if recipe is None:
        return replace(prepared, note=cannot_refit(manifest.family))
    return replace(prepared, windows=(), recipe=recipe)


def judging_alone(
    folder: PipelineHome,
    data: DataVersion,
    champion: ModelVersion,
    *,
    known: Iterable[DataVersion | None],
    max_rows: int,
) -> Prepared:
    """Return the newest live rows of a grown version, which no version of `known` holds, to judge by.

    None train. The task and the inputs are the champion's; rows of a class that it does not know are left
    out. Raises DataError where there are none.
    """
    from raypipe.data.growth import live_ids, newest_live
    from raypipe.data.profile import Profile
    from raypipe.data.split import Split
    from raypipe.processing.stored import read_transform

    place = folder.model(champion.version)
    task = Task.from_json(read_manifest(place, champion.manifest_sha256).task)
    seen = {id for one in known if one is not None for id in live_ids(folder, one)}
    rows = newest_live(folder, data, seen=seen)
    if task.kind == "classification":
        rows = rows.filter([value in task.classes for value in rows[task.label].to_pylist()])
    rows = rows.slice(max(0, rows.num_rows - max_rows))
    if not rows.num_rows:
        raise DataError(
            "no labelled row is new to both versions; wait for labels of answers that neither was trained on."
        )
    none = rows.slice(0, 0)
    split = Split(none, none, rows, "time", ())
    profile = Profile.of_table(rows, [column.name for column in data.columns])
    return Prepared(split, task, read_transform(place), profile, champion=champion.version)
