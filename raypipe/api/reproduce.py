"""A version learned anew from what is recorded of it, and put beside the one that is registered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np

from raypipe.config.settings import Config
from raypipe.control.ledger import read_facts
from raypipe.control.receipts import find, receipts
from raypipe.core.errors import ConfigError, DataError
from raypipe.core.ids import Json, sha256_file
from raypipe.data.versions import DataVersion, readable
from raypipe.registry.datasets import erased_since
from raypipe.registry.manifest import Manifest, verify
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.serving.package import SETTINGS_NAME

if TYPE_CHECKING:
    from raypipe.serving.predictor import Predictor
    from raypipe.training.family import Family
    from raypipe.training.prepared import Prepared

Likeness = Literal["equal files", "equal answers", "differs"]
N_CAPTURED = 1_000
"""So many of the newest captured answers of a version are asked again."""
_RECORDED = ("data", "processing", "training")
"""Parts of the recorded config that a model follows from; `retraining.gate` is another."""


@dataclass(frozen=True)
class Difference:
    """Something that is not here as it was recorded; None where it was not, or is not."""

    what: str
    recorded: str | None
    here: str | None


@dataclass(frozen=True)
class Answered:
    """Rows that the model of now was asked, and by how much its answers are off at most."""

    n_rows: int
    n_refused: int
    """Rows that it does not take."""
    largest_difference: float

    @property
    def is_equal(self) -> bool:
        """Whether each answer is the recorded one, bit for bit."""
        return self.n_refused == 0 and self.largest_difference == 0.0


@dataclass(frozen=True)
class Reproduced:
    """What became of learning a version anew."""

    version: str
    likeness: Likeness
    data_version: str
    n_rows: int
    family: str
    params: Mapping[str, Json]
    seed: int
    n_threads: int
    files: Mapping[str, bool]
    """The files of the model and its transform, and which have the recorded bytes."""
    golden: Answered
    captured: Answered
    differences: tuple[Difference, ...]
    """Libraries, and code of the user's own, that are others than recorded."""

    def to_json(self) -> Json:
        return cast("Json", json.loads(json.dumps(asdict(self), default=str)))


def reproduce(config: Config, registry: Registry, version: str) -> Reproduced:
    """Learn a version anew, without a search and without Ray, and compare.

    `version` may be an alias. Rows, split, transform and parameters are those that are recorded. Raises
    UnknownVersion for a version that is not there, DataError for one whose rows were erased or removed, or
    that was not learned here, ConfigError where its settings are none of this version of raypipe.
    """
    from raypipe.data.scratch import scratch_folder
    from raypipe.processing.stored import write_transform
    from raypipe.serving.predictor import MODEL_FOLDER, Predictor
    from raypipe.training.anew import learn_anew, terms_of
    from raypipe.training.encoding import training_set
    from raypipe.training.leaderboard import Leaderboard

    model = registry.model_version(config.name, registry.aliases(config.name).get(version, version))
    folder = config.folder.model(model.version)
    manifest = verify(folder, model.manifest_sha256)
    made = _settings(config, folder, model)
    data = _rows_of(config, registry, model)
    family = _family(made, manifest.family)
    terms = terms_of(family, made.training.resources, made.training.seed)
    board = Leaderboard.from_json(model.metrics)
    with scratch_folder(config.folder.scratch) as place:
        prepared = _prepared(made, registry, model, data)
        features = training_set(prepared, "local", place / "features")
        params = {name: cast("Any", value) for name, value in manifest.params.items()}
        score = board.best.validation.value
        learned = learn_anew(family, params, features, terms, place / MODEL_FOLDER, score=score)
        write_transform(place, prepared.transform)
        files = _same_files(place, manifest)
    predictor = Predictor(prepared.transform, prepared.task, learned)
    golden, captured = _golden(predictor, folder), _captured(predictor, config, model)
    answers: Likeness = "equal answers" if golden.is_equal and captured.is_equal else "differs"
    return Reproduced(
        version=model.version,
        likeness="equal files" if all(files.values()) else answers,
        data_version=data.id,
        n_rows=data.n_rows,
        family=manifest.family,
        params=dict(manifest.params),
        seed=terms.seed,
        n_threads=terms.n_threads,
        files=files,
        golden=golden,
        captured=captured,
        differences=_differences(made, manifest),
    )


def _settings(config: Config, folder: Path, model: ModelVersion) -> Config:
    """Return the config of now with what the recorded one says of how to learn."""
    from pydantic import ValidationError

    recorded: Any = json.loads((folder / SETTINGS_NAME).read_bytes())
    gate = recorded.get("retraining", {}).get("gate", {})
    try:
        parts = {name: recorded[name] for name in _RECORDED} | {"retraining": {"gate": gate}}
        made = Config.model_validate({"name": config.name, "home": config.home, **parts})
    except (ValidationError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"the settings of {model.version} must be of this version of raypipe. Got others ({first}): "
            "reproduce it with the version that its manifest names."
        ) from error
    code = config.training.code or made.training.code
    return made.model_copy(update={"training": made.training.model_copy(update={"code": code})})


def _rows_of(config: Config, registry: Registry, model: ModelVersion) -> DataVersion:
    """Return the rows that a version learned from; raises DataError where they are not what they were."""
    if model.run.startswith("i-"):
        raise DataError(f"{model.version} was imported: what it learned from is not known here.")
    data = readable(registry.data_versions(config.name), model.data_version)
    erased = erased_since(model, data)
    if erased:
        n_rows = sum(one.n_rows for one in erased)
        raise DataError(
            f"{n_rows:,} rows of people were erased from {data.id} on {erased[-1].at:%Y-%m-%d %H:%M:%S} UTC, "
            f"after {model.version} learned from them: it cannot be learned anew."
        )
    return data


def _prepared(made: Config, registry: Registry, model: ModelVersion, data: DataVersion) -> Prepared:
    """Return what the version learned from: a retrain splits otherwise, and knows the champion's rows."""
    from raypipe.training.preparing import prepared_grown, prepared_version

    settings: dict[str, Any] = {
        "data": made.data,
        "processing": made.processing.model_copy(update={"compute": "local"}),
        "training": made.training,
    }
    if model.run.startswith("r-"):
        return prepared_version(made.folder, data, **settings)
    facts = (fact for _, fact in read_facts(registry, made.name))
    decided = find(receipts(facts, made.name), model.run)
    champion = None if decided is None else decided.champion_data_version
    if decided is not None and decided.action == "continue" and not decided.note:
        raise DataError(
            f"{model.version} was trained on from the model of {decided.champion}, and not from rows alone, "
            "which are all that it is learned anew from."
        )
    if champion is None:
        raise DataError(
            f"the receipt of {model.run} must name the champion's data version, whose rows neither chose nor "
            f"judged; it names none, so what {model.version} learned from is not known."
        )
    known = readable(registry.data_versions(made.name), champion)
    max_rows = made.retraining.gate.max_rows
    return prepared_grown(made.folder, data, known=known, max_rows=max_rows, **settings)


def _family(made: Config, name: str) -> Family:
    """Return the family of a version; raypipe's own also where they do not race, as a refit's need not."""
    from raypipe.training.family import family_of
    from raypipe.training.own.families import own_families
    from raypipe.training.own.signature import key_near

    own = own_families(made.training, key_near(made.folder.runs / "anew"))
    return own[name] if name in own else family_of(name)


def _same_files(place: Path, manifest: Manifest) -> dict[str, bool]:
    """Return each file that answers depend on, recorded or made now, and whether both are there and equal."""
    from raypipe.processing.stored import TRANSFORM_NAME
    from raypipe.serving.predictor import MODEL_FOLDER

    # A transform's longer lists are in files of its steps.
    answering = (f"{MODEL_FOLDER}/", TRANSFORM_NAME, "step-")
    found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    made = {name: sha256_file(path) for name, path in found.items() if name.startswith(answering)}
    recorded = {name: of.sha256 for name, of in manifest.files.items() if name.startswith(answering)}
    return {name: made.get(name) == recorded.get(name) for name in sorted(made.keys() | recorded.keys())}


def _golden(predictor: Predictor, folder: Path) -> Answered:
    from raypipe.serving.golden import read_golden

    golden = read_golden(folder)
    return _asked(predictor, [msgspec.json.encode(row) for row in golden.rows], golden.answers)


def _captured(predictor: Predictor, config: Config, model: ModelVersion) -> Answered:
    """Ask the newest rows that the version answered again, but for those of a canary: others' classes."""
    import pyarrow.parquet as pq

    from raypipe.data.tail import BEGINNING, read_tail

    found: list[dict[str, Any]] = []
    tail = read_tail(config.folder.predictions, BEGINNING)
    for file in reversed(tail.files if tail else ()):
        of_version = [("version", "=", model.version)]
        rows = pq.read_table(config.folder.predictions / file, filters=of_version).to_pylist()
        found = [row for row in rows if not row["role"].startswith("canary")] + found
        if len(found) >= N_CAPTURED:
            break
    found = found[-N_CAPTURED:]
    answers = [
        json.loads(row["prediction"]) if row["probabilities"] is None else row["probabilities"]
        for row in found
    ]
    return _asked(predictor, [str(row["inputs"]).encode() for row in found], answers)


def _asked(predictor: Predictor, inputs: Sequence[bytes], answers: Sequence[Any]) -> Answered:
    """Ask rows, as JSON, and return how far the answers are from recorded ones."""
    from raypipe.serving.request import Hints, RequestSchema, RowError

    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    read = [schema.row(msgspec.Raw(one), Hints()) for one in inputs]
    pairs = [(row, was) for row, was in zip(read, answers, strict=True) if not isinstance(row, RowError)]
    if not pairs:
        return Answered(len(inputs), len(inputs), 0.0)
    predictions = predictor.predict_rows([row for row, _ in pairs])
    now = predictions.values if predictions.probabilities is None else predictions.probabilities
    was = np.asarray([one for _, one in pairs], np.float64)
    largest = float(np.max(np.abs(np.asarray(now, np.float64) - was), initial=0.0))
    return Answered(len(inputs), len(inputs) - len(pairs), largest)


def _differences(made: Config, manifest: Manifest) -> tuple[Difference, ...]:
    from raypipe.training.frameworks import frameworks
    from raypipe.training.own.families import code_digests

    here = {**frameworks(), **code_digests(made.training, manifest.family)}
    names = sorted(here.keys() | manifest.frameworks.keys())
    found = (Difference(name, manifest.frameworks.get(name), here.get(name)) for name in names)
    return tuple(one for one in found if one.recorded != one.here)
