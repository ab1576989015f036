"""What people say of model versions: removed, and why; pinned, and why. Numbers are never given again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from raypipe.core.errors import RegistryError, StaleEpoch
from raypipe.core.ids import Json
from raypipe.registry import ledger, models
from raypipe.registry.database import Session
from raypipe.registry.values import ModelVersion

REMOVED, PINNED, UNPINNED = "model_removed", "model_pinned", "model_unpinned"


def pin(session: Session, pipeline: str, version: str, note: str, at: datetime) -> None:
    """Keep a version from being removed; a pin that is there has this note from now on."""
    models.model_version(session, pipeline, version)
    _set_pin(session, pipeline, version, note)
    ledger.append(session, pipeline, PINNED, version, {"note": note}, at)


def unpin(session: Session, pipeline: str, version: str, at: datetime) -> None:
    """Take the pin away; raises RegistryError where there is none."""
    if models.model_version(session, pipeline, version).pin is None:
        raise RegistryError(f"VERSION must be pinned to be unpinned. Got {version!r}, which is not.")
    _set_pin(session, pipeline, version, None)
    ledger.append(session, pipeline, UNPINNED, version, {}, at)


def remove(
    session: Session, pipeline: str, versions: Sequence[str], reason: str, as_of: int, at: datetime
) -> None:
    """Call versions removed, all or none.

    `as_of` is the number of the ledger's last entry as the caller decided by it: StaleEpoch where something
    was written since. Raises RegistryError for a version that is pinned or that an alias names.
    """
    _refuse_moved(session, pipeline, as_of)
    for version in versions:
        _refuse_needed(session, models.model_version(session, pipeline, version))
        session.run(
            "INSERT INTO raypipe_model_marks (pipeline, number, removed_at, removed_reason) "
            "VALUES (:pipeline, :number, :at, :reason) ON CONFLICT (pipeline, number) "
            "DO UPDATE SET removed_at = excluded.removed_at, removed_reason = excluded.removed_reason",
            pipeline=pipeline,
            number=models.number_of(version),
            at=at.isoformat(),
            reason=reason,
        )
        detail: Json = {"reason": reason}
        ledger.append(session, pipeline, REMOVED, version, detail, at)


def _refuse_moved(session: Session, pipeline: str, as_of: int) -> None:
    if last := ledger.history(session, pipeline, 1, as_of):
        raise StaleEpoch(
            f"the ledger of {pipeline} must still end at entry {as_of}. Got {last[0].seq} ({last[0].kind}): "
            "another writer has moved on; look at its history, then decide again."
        )


def _refuse_needed(session: Session, model: ModelVersion) -> None:
    named = session.rows(
        "SELECT alias FROM raypipe_aliases WHERE pipeline = :pipeline AND version = :version ORDER BY alias",
        pipeline=model.pipeline,
        version=model.version,
    )
    why = f"it is the {named[0][0]}" if named else _pinned(model.pin)
    if why:
        raise RegistryError(f"{model.version} of {model.pipeline} must not be removed: {why}.")


def _pinned(note: str | None) -> str:
    return "" if note is None else pin_reason(note)


def pin_reason(note: str) -> str:
    """Say that a version is pinned, and why."""
    return f"it is pinned ({note})" if note else "it is pinned"


def _set_pin(session: Session, pipeline: str, version: str, note: str | None) -> None:
    session.run(
        "INSERT INTO raypipe_model_marks (pipeline, number, removed_reason, pin) "
        "VALUES (:pipeline, :number, '', :note) "
        "ON CONFLICT (pipeline, number) DO UPDATE SET pin = excluded.pin",
        pipeline=pipeline,
        number=models.number_of(version),
        note=note,
    )
