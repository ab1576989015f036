"""Model versions: their numbers, their rows, and how a staged folder becomes one."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from raypipe.core.errors import RegistryError, UnknownVersion
from raypipe.core.files import Disk, fsync_folder, fsync_tree, storage_errors
from raypipe.core.ids import canonical_json
from raypipe.registry import ledger
from raypipe.registry.database import Row, Session
from raypipe.registry.manifest import FileDigest, ManifestDraft, write_manifest
from raypipe.registry.values import ModelVersion

_COLUMNS = "pipeline, number, manifest_sha256, created_at, data_version, run, family, format, metrics"
_MARKED = (
    "SELECT m.pipeline, m.number, manifest_sha256, created_at, data_version, run, family, format, metrics, "
    "removed_at, removed_reason, pin FROM raypipe_model_versions m LEFT JOIN raypipe_model_marks k "
    "ON k.pipeline = m.pipeline AND k.number = m.number WHERE m.pipeline = :pipeline"
)
AMENDED = "model_amended"
_VERSION = re.compile(r"v([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Registration:
    """A staged folder on its way into `models`; a test dies in `moved`, between the move and the row."""

    staged: Path
    models: Path
    draft: ManifestDraft
    files: Mapping[str, FileDigest]
    moved: Callable[[], None] = lambda: None


def register(session: Session, entry: Registration, at: datetime, disk: Disk) -> ModelVersion:
    """Give the staged folder the next number, move it into `models`, and record it.

    The caller's transaction is the lock: a crash before its end leaves a folder without a row, which the
    next registration of that number sets aside.
    """
    draft = entry.draft
    number = _next_number(session, draft.pipeline)
    version = f"v{number}"
    aside = _set_orphan_aside(entry.models / version)
    digest = write_manifest(entry.staged, draft, version=version, created_at=at, files=entry.files, disk=disk)
    _move(entry.staged, entry.models / version)
    entry.moved()
    model = ModelVersion(
        draft.pipeline,
        version,
        digest,
        at,
        draft.data_version,
        draft.run,
        draft.family,
        draft.format,
        draft.metrics,
    )
    _insert(session, number, model)
    if aside is not None:
        ledger.append(session, draft.pipeline, "orphan_set_aside", version, {"folder": aside.name}, at)
    detail = {"manifest_sha256": digest, "data_version": draft.data_version, "run": draft.run}
    ledger.append(session, draft.pipeline, "model_registered", version, detail, at)
    return model


def amend(
    session: Session, pipeline: str, version: str, manifest_sha256: str, erasure: str, at: datetime
) -> None:
    """Give a version another digest; the ledger keeps the one before, and what for."""
    before = model_version(session, pipeline, version).manifest_sha256
    session.run(
        "UPDATE raypipe_model_versions SET manifest_sha256 = :digest "
        "WHERE pipeline = :pipeline AND number = :number",
        digest=manifest_sha256,
        pipeline=pipeline,
        number=number_of(version),
    )
    detail = {"erasure": erasure, "before": before, "manifest_sha256": manifest_sha256}
    ledger.append(session, pipeline, AMENDED, version, detail, at)


def model_versions(session: Session, pipeline: str) -> tuple[ModelVersion, ...]:
    """Return the versions of a pipeline, newest first, also those that were removed."""
    rows = session.rows(f"{_MARKED} ORDER BY m.number DESC", pipeline=pipeline)
    return tuple(_model(row) for row in rows)


def model_version(session: Session, pipeline: str, version: str) -> ModelVersion:
    """Return a version that is there; raises UnknownVersion for others, naming those there are."""
    rows = session.rows(
        f"{_MARKED} AND m.number = :number", pipeline=pipeline, number=number_of(version) or 0
    )
    found = _model(rows[0]) if rows else None
    if found is not None and found.removed_at is None:
        return found
    there = [one.version for one in model_versions(session, pipeline) if one.removed_at is None]
    known = ", ".join(there[:10]) or ("none yet" if found is None else "all were removed")
    got = repr(version) if found is None else f"{version!r}, which {removal_of(found)}"
    raise UnknownVersion(f"the version of {pipeline} must be one of its models ({known}). Got {got}.")


def number_of(version: str) -> int | None:
    """Return the number in a version's name; None for what is no such name."""
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else None


def removal_of(model: ModelVersion) -> str:
    """Say when a version was removed, and why; empty for one that was not."""
    if model.removed_at is None:
        return ""
    reason = f": {model.removed_reason}" if model.removed_reason else ""
    return f"was removed on {model.removed_at:%Y-%m-%d %H:%M:%S} UTC{reason}"


def _model(row: Row) -> ModelVersion:
    pipeline, number, digest, created_at, data_version, run, family, format, metrics, *marks = row
    removed_at, reason, pin = marks
    return ModelVersion(
        pipeline,
        f"v{number}",
        digest,
        datetime.fromisoformat(created_at),
        data_version,
        run,
        family,
        format,
        json.loads(metrics),
        None if removed_at is None else datetime.fromisoformat(removed_at),
        reason or "",
        pin,
    )


def _next_number(session: Session, pipeline: str) -> int:
    query = "SELECT COALESCE(MAX(number), 0) FROM raypipe_model_versions WHERE pipeline = :pipeline"
    return 1 + int(session.rows(query, pipeline=pipeline)[0][0])


def _insert(session: Session, number: int, model: ModelVersion) -> None:
    session.run(
        f"INSERT INTO raypipe_model_versions ({_COLUMNS}) VALUES (:pipeline, :number, :manifest_sha256, "
        ":created_at, :data_version, :run, :family, :format, :metrics)",
        pipeline=model.pipeline,
        number=number,
        manifest_sha256=model.manifest_sha256,
        created_at=model.created_at.isoformat(),
        data_version=model.data_version,
        run=model.run,
        family=model.family,
        format=model.format,
        metrics=canonical_json(model.metrics).decode(),
    )


def _set_orphan_aside(folder: Path) -> Path | None:
    """Rename a folder that no row names; kept, since a lost database makes all versions look so."""
    if not folder.exists():
        return None
    k = 1
    while (aside := folder.with_name(f"orphan-{folder.name}-{k}")).exists():
        k += 1
    with storage_errors(folder):
        folder.rename(aside)
    return aside


def _move(staged: Path, target: Path) -> None:
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise RegistryError(
                    f"{target} appeared while it was being registered; register again."
                ) from error
            if error.errno != errno.EXDEV:
                raise
            _move_across(staged, target)
        fsync_folder(target.parent)


def _move_across(staged: Path, target: Path) -> None:
    """Copy to the other file system under another name first, so that `target` is never half there."""
    incoming = target.with_name(f".incoming-{target.name}")
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.copytree(staged, incoming)
    fsync_tree(incoming)
    incoming.rename(target)
    shutil.rmtree(staged, ignore_errors=True)
