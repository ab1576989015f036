"""A model file that was made elsewhere becomes a version like any other: judged, packed, registered.

It is judged on the test part of a data version, beside the constant baseline, and gets golden rows from it.
What it was trained on is not known here, and its card says so. Nothing is promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from raypipe.config.yaml_text import parse_yaml
from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.ids import content_id, sha256_file
from raypipe.data.scratch import scratch_folder
from raypipe.data.versions import DataVersion
from raypipe.pipeline import Loop
from raypipe.processing.out_of_fold import OutOfFold
from raypipe.registry.values import ModelVersion
from raypipe.training.family import Terms, family_of
from raypipe.training.importing import ImportSchema, read_foreign, task_of, transform_of
from raypipe.training.leaderboard import BASELINE
from raypipe.training.learned import Learned
from raypipe.training.models import Model
from raypipe.training.prepared import Prepared
from raypipe.training.race import Candidate, RaceResult, TrainingSet


def import_model(loop: Loop, data: DataVersion, file: Path, schema: Path) -> ModelVersion:
    """Register a model file as the next version of a pipeline, judged on a data version's test part.

    Raises ConfigError for a schema that does not fit the data, ArtifactError for a file that is no such model
    or cannot answer, DataError for rows that cannot be learned from.
    """
    wanted = read_schema(schema)
    prepared = loop.prepare(data)
    task = task_of(wanted, prepared.task)
    transform = transform_of(wanted, {one.name: one for one in data.columns}, task.label)
    prepared = replace(prepared, task=task, transform=transform, out_of_fold=OutOfFold())
    family, model = read_foreign(file, task, wanted, str(schema.resolve().parent))
    digest = sha256_file(file)
    run = content_id("i", {"file": digest, "schema": wanted.model_dump(mode="json"), "data": data.content})
    _refuse_missing(prepared)
    with scratch_folder(loop.config.folder.scratch) as place:
        features = loop.encode(prepared, place / "features")
        _check(file, model, features)
        baseline = next(iter(family_of(BASELINE).train({}, features, Terms(1, 0, 1))))[1]
        race = _race(place, [(family, model), (BASELINE, baseline)])
        learned = Learned(race, loop.judge(prepared, features, race), None, f"{file.name} (SHA-256 {digest})")
        return loop.register(run, data, prepared, learned)


def read_schema(path: Path) -> ImportSchema:
    """Read the schema of a model's inputs; raises ConfigError."""
    try:
        return ImportSchema.model_validate(parse_yaml(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--schema {path} cannot be read as a file of text: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the schema"
        raise ConfigError(f"{path}: {where}: {first['msg']}. Got {first['input']!r}.") from error


def _refuse_missing(prepared: Prepared) -> None:
    """Raise ConfigError for a column that rows lack, and for which the schema says no `fill`."""
    import pyarrow.compute as pc

    split = prepared.split
    for name in (column.name for column in prepared.transform.inputs if not column.nullable):
        parts = (split.train, split.validation, split.test)
        n_missing = sum(pc.sum(pc.is_null(part[name], nan_is_null=True)).as_py() or 0 for part in parts)
        if n_missing:
            raise ConfigError(
                f"the feature {name!r} must say what a missing value counts as: {{column: {name}, fill: 0}}. "
                f"Got none, and {n_missing:,} rows lack it."
            )


def _check(file: Path, model: Model, features: TrainingSet) -> None:
    try:
        model.predict(features.x_validation[:1])
    except ValueError as error:
        names = ", ".join(features.feature_names[:10])
        raise ArtifactError(
            f"{file} must take the {len(features.feature_names)} features of the schema ({names}): {error}"
        ) from error


def _race(place: Path, models: Sequence[tuple[str, Model]]) -> RaceResult:
    """Return a race that the first model has won, whatever the baseline reaches: it has no rival."""
    candidates = []
    for number, (family, model) in enumerate(models):
        folder = place / family
        folder.mkdir()
        model.save(folder)
        candidates.append(Candidate(family, {}, 0.0, 0.0, folder, model.format, f"imported-{number}"))
    return RaceResult(tuple(candidates), ())
