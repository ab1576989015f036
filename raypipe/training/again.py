"""What is learned, or judged, in the place of a search: from a champion's parameters, or without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from raypipe.core.errors import DataError
from raypipe.registry.manifest import read_manifest, verify
from raypipe.training.family import Continuing
from raypipe.training.models import MODEL_FOLDER
from raypipe.training.own.families import families_of
from raypipe.training.prepared import Prepared
from raypipe.training.recipe import Recipe, Start, cannot_refit, recipe_of
from raypipe.training.task import Task

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.core.home import PipelineHome
    from raypipe.data.config import SplitSettings
    from raypipe.data.versions import DataVersion
    from raypipe.processing.transform import FittedTransform
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


def continued(
    folder: PipelineHome,
    data: DataVersion,
    champion: ModelVersion,
    *,
    known: DataVersion | None,
    split: SplitSettings,
    max_rows: int,
    settings: TrainingSettings,
) -> Prepared | str:
    """Return the live rows that are new to the champion, with its task and transform, to train its model on.

    Returns why not, in a sentence, where its family cannot, or the rows no longer fit. Raises DataError where
    they are too few, ArtifactError for a champion that is not what was registered.
    """
    from raypipe.data.growth import live_ids, newest_live, split_live
    from raypipe.data.profile import Profile
    from raypipe.processing.stored import read_transform

    place = folder.model(champion.version)
    manifest = verify(place, champion.manifest_sha256)
    recipe = recipe_of(manifest.family, manifest.params, settings)
    why = cannot_refit(manifest.family) if recipe is None else why_no_start(recipe, settings)
    if recipe is None or why is not None:
        return str(why)
    task, transform = Task.from_json(manifest.task), read_transform(place)
    rows = newest_live(folder, data, seen=live_ids(folder, known) if known else frozenset())
    why = misfit(rows, data, task, transform)
    if why is not None:
        return why
    parts = split_live(rows, split, max_rows=max_rows)
    start = Start(champion.version, place / MODEL_FOLDER, manifest.format)
    profile = Profile.of_table(parts.train, [column.name for column in data.columns])
    found = Prepared(parts, task, transform, profile, champion=champion.version)
    return replace(found, recipe=replace(recipe, start=start))


def why_no_start(recipe: Recipe, settings: TrainingSettings) -> str | None:
    """Return why a model of the family cannot be trained on; None where it can."""
    family = recipe.family_in(families_of(settings))
    if not isinstance(family, Continuing):
        return f"a model of the family {recipe.family} cannot be trained on"
    why = family.cannot_continue()
    return None if why is None else f"a model of the family {recipe.family} cannot be trained on: {why}"


def misfit(rows: pa.Table, data: DataVersion, task: Task, transform: FittedTransform) -> str | None:
    """Return why live rows do not fit a champion's task and transform; None where they do."""
    kinds = {column.name: column.kind for column in data.columns}
    changed = [one.name for one in transform.inputs if kinds.get(one.name) != one.kind]
    if changed:
        return f"the columns {', '.join(changed)} are not what the champion's transform was fitted to"
    if task.kind == "classification":
        others = sorted({str(one) for one in rows[task.label].to_pylist() if one not in task.classes})
        if others:
            return f"the champion knows no class {', '.join(others[:5])}"
    return None


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
    from raypipe.data.live import AT_COLUMN
    from raypipe.data.profile import Profile
    from raypipe.data.split import Split
    from raypipe.processing.stored import read_transform

    place = folder.model(champion.version)
    task = Task.from_json(read_manifest(place, champion.manifest_sha256).task)
    seen = {id for one in known if one is not None for id in live_ids(folder, one)}
    rows = newest_live(folder, data, seen=seen)
    if task.kind == "classification":
        rows = rows.filter([value in task.classes for value in rows[task.label].to_pylist()])
    rows = rows.slice(max(0, rows.num_rows - max_rows)).drop_columns([AT_COLUMN])
    if not rows.num_rows:
        raise DataError(
            "no labelled row is new to both versions; wait for labels of answers that neither was trained on."
        )
    none = rows.slice(0, 0)
    split = Split(none, none, rows, "time", ())
    profile = Profile.of_table(rows, [column.name for column in data.columns])
    return Prepared(split, task, read_transform(place), profile, champion=champion.version)
