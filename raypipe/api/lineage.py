"""Where an answer, or a model version, comes from: back to rows, code, settings and whoever decided."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raypipe.config.settings import Config
from raypipe.control.ledger import read_facts
from raypipe.control.receipts import Receipt, find, receipts
from raypipe.core.errors import RaypipeError, UnknownVersion
from raypipe.core.ids import Json
from raypipe.registry.manifest import Manifest, read_manifest
from raypipe.registry.store import Registry
from raypipe.registry.values import AliasChange, ModelVersion
from raypipe.serving.package import SETTINGS_NAME
from raypipe.serving.releases import CHAMPION

if TYPE_CHECKING:
    from raypipe.serving.predictor import Predictions
    from raypipe.training.task import Task

Rescored = Literal["equal to the bit", "differs", "not possible"]


@dataclass(frozen=True)
class Prediction:
    """A captured answer, and what its version answers to the same inputs now."""

    id: str
    at: datetime
    version: str
    role: str
    inputs: str
    prediction: str
    """As JSON."""
    probabilities: Sequence[float] | None
    label: str | None
    """The newest label that came for it, as JSON; None while none did."""
    rescored: Rescored
    why: str = ""
    """Why it differs, or could not be asked again."""


@dataclass(frozen=True)
class Source:
    """The rows that a version learned from."""

    id: str
    content: str
    n_rows: int | None
    """None where the data version is no longer known."""


@dataclass(frozen=True)
class Code:
    """What learned: the versions of the libraries, and the digest of the settings."""

    frameworks: dict[str, str]
    settings_sha256: str | None


@dataclass(frozen=True)
class Lineage:
    """All that an answer, or a version, follows from; `decision` is None for what no controller decided."""

    version: str
    manifest_sha256: str
    created_at: datetime
    run: str
    family: str
    params: dict[str, Json]
    source: Source
    code: Code | None
    """None where the version's files were removed."""
    decision: Receipt | None
    releases: tuple[AliasChange, ...]
    """When it became the champion, newest first."""
    prediction: Prediction | None = None

    @property
    def approver(self) -> str | None:
        """Who let it become the champion; None for a release that nobody was asked about."""
        if self.decision is None or self.decision.answer is None:
            return None
        return self.decision.answer.by

    def to_json(self) -> Json:
        value = asdict(self)
        decision = None if self.decision is None else self.decision.to_json()
        parts = {"decision": decision, "approver": self.approver}
        plain: Json = json.loads(json.dumps(value | parts, default=_text))
        return plain


def lineage(config: Config, registry: Registry, subject: str) -> Lineage:
    """Return where a captured answer (by its id), a version or an alias comes from.

    Raises UnknownVersion where it is none of these.
    """
    name = registry.aliases(config.name).get(subject, subject)
    known = {one.version: one for one in registry.model_versions(config.name, removed=True)}
    if name in known:
        return _of_version(config, registry, known[name])
    found = _find(config, registry, subject)
    if found is None:
        raise UnknownVersion(
            f"ID must be a model version, an alias, or the id of a captured answer of {config.name}. "
            f"Got {subject!r}."
        )
    of = _of_version(config, registry, known[found.version])
    return Lineage(**{**vars(of), "prediction": found})


def _of_version(config: Config, registry: Registry, model: ModelVersion) -> Lineage:
    name = config.name
    rows = registry.data_version(name, model.data_version)
    source = (
        Source(model.data_version, "", None) if rows is None else Source(rows.id, rows.content, rows.n_rows)
    )
    manifest = (
        None if model.removed_at else read_manifest(config.folder.model(model.version), model.manifest_sha256)
    )
    facts = [fact for _, fact in read_facts(registry, name)]
    decision = find(receipts(facts, name), model.version)
    changes = registry.alias_history(name, CHAMPION)
    return Lineage(
        version=model.version,
        manifest_sha256=model.manifest_sha256,
        created_at=model.created_at,
        run=model.run,
        family=model.family,
        params={} if manifest is None else dict(manifest.params),
        source=source,
        code=None if manifest is None else _code(manifest),
        decision=decision,
        releases=tuple(one for one in changes if one.version == model.version != one.previous),
    )


def _code(manifest: Manifest) -> Code:
    settings = manifest.files.get(SETTINGS_NAME)
    return Code(dict(manifest.frameworks), None if settings is None else settings.sha256)


def _find(config: Config, registry: Registry, id_: str) -> Prediction | None:
    folder = config.folder
    answers = _rows(folder.predictions, "id", id_)
    if not answers:
        return None
    newest = max(answers, key=lambda row: row["at"])
    labels = _rows(folder.labels, "prediction_id", id_)
    label = max(labels, key=lambda row: row["at"])["label"] if labels else None
    rescored, why = _rescored(config, registry, newest)
    return Prediction(**newest, label=label, rescored=rescored, why=why)


def _rows(table: Path, column: str, value: str) -> list[dict[str, Any]]:
    """Return the rows of a table with a value, by the statistics of its files."""
    import pyarrow.parquet as pq

    from raypipe.data.tail import BEGINNING, read_tail

    tail = read_tail(table, BEGINNING)
    found: list[dict[str, Any]] = []
    for file in tail.files if tail else ():
        rows = pq.read_table(table / file, filters=[(column, "=", value)])
        found += rows.to_pylist()
    return found


def _rescored(config: Config, registry: Registry, row: dict[str, Any]) -> tuple[Rescored, str]:
    """Ask the recorded version again; its answer is the recorded one, bit for bit, or not."""
    import msgspec

    from raypipe.data.roles import read_role
    from raypipe.serving.canary import in_terms_of
    from raypipe.serving.predictor import load_predictor
    from raypipe.serving.request import Hints, RequestSchema, RowError

    version = str(row["version"])
    try:
        model = registry.model_version(config.name, version)
        predictor = load_predictor(config.folder.model(version), model.manifest_sha256)
    except RaypipeError as error:
        return "not possible", str(error)
    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    read = schema.row(msgspec.Raw(str(row["inputs"]).encode()), Hints())
    if isinstance(read, RowError):
        return "not possible", "; ".join(one.message for one in read.fields)
    given = predictor.predict_rows([read])
    role = read_role(str(row["role"]))
    if role is not None and role.arm == "canary":
        champion = _champion_at(config, registry, role.epoch)
        given = given if champion is None else in_terms_of(champion, given, predictor.task)
    return _compared(given, row)


def _champion_at(config: Config, registry: Registry, epoch: int) -> Task | None:
    """Return the task of the champion beside which a canary answered; None where it is no longer known."""
    from raypipe.training.task import Task

    changes = registry.alias_history(config.name, CHAMPION)
    version = next((one.version for one in changes if one.epoch == epoch), None)
    found = next((one for one in registry.model_versions(config.name) if one.version == version), None)
    if found is None:
        return None
    manifest = read_manifest(config.folder.model(found.version), found.manifest_sha256)
    return Task.from_json(manifest.task)


def _compared(now: Predictions, row: dict[str, Any]) -> tuple[Rescored, str]:
    answer = json.dumps(now.values[0], ensure_ascii=False)
    probabilities = None if now.probabilities is None else now.probabilities[0].tolist()
    was = row["probabilities"]
    if answer == row["prediction"] and _same(probabilities, was):
        return "equal to the bit", ""
    return "differs", f"it answers {answer} now, {probabilities}"


def _same(now: object, was: object) -> bool:
    if isinstance(now, list) and isinstance(was, list):
        return len(now) == len(was) and all(map(_same, now, was))
    if isinstance(now, float) and isinstance(was, float):
        return now == was and math.copysign(1, now) == math.copysign(1, was)
    return now is None and was is None


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
