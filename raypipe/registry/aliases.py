"""Aliases: names such as `champion` that move from version to version."""

from __future__ import annotations

from datetime import datetime

from raypipe.core.errors import StaleEpoch
from raypipe.registry import ledger, models
from raypipe.registry.database import Session
from raypipe.registry.values import ANYTHING, AliasChange, Anything


def alias(session: Session, pipeline: str, name: str) -> str | None:
    """Return the version that an alias names."""
    return aliases(session, pipeline).get(name)


def aliases(session: Session, pipeline: str) -> dict[str, str]:
    """Return the version of each alias, by name."""
    rows = session.rows(
        "SELECT alias, version FROM raypipe_aliases WHERE pipeline = :pipeline ORDER BY alias",
        pipeline=pipeline,
    )
    return dict(rows)


def alias_history(session: Session, pipeline: str, name: str) -> tuple[AliasChange, ...]:
    """Return what an alias has named, newest first."""
    rows = session.rows(
        "SELECT version, previous, epoch, reason, changed_at FROM raypipe_alias_history "
        "WHERE pipeline = :pipeline AND alias = :alias ORDER BY epoch DESC",
        pipeline=pipeline,
        alias=name,
    )
    return tuple(
        AliasChange(pipeline, name, version, previous, int(epoch), reason, datetime.fromisoformat(at))
        for version, previous, epoch, reason, at in rows
    )


def set_alias(
    session: Session,
    pipeline: str,
    name: str,
    version: str,
    *,
    expected: str | Anything | None,
    reason: str,
    at: datetime,
) -> AliasChange:
    """Move an alias under a new epoch; raises StaleEpoch where it does not name `expected` any more."""
    models.model_version(session, pipeline, version)
    previous = alias(session, pipeline, name)
    _refuse_moved(pipeline, name, previous, expected)
    epoch = ledger.next_epoch(session, pipeline)
    change = AliasChange(pipeline, name, version, previous, epoch, reason, at)
    _record(session, change)
    detail = {"version": version, "previous": previous, "epoch": epoch, "reason": reason}
    ledger.append(session, pipeline, "alias_moved", name, detail, at)
    return change


def _refuse_moved(pipeline: str, name: str, found: str | None, expected: str | Anything | None) -> None:
    if expected is not ANYTHING and expected != found:
        raise StaleEpoch(
            f"the alias {name} of {pipeline} must still name {expected or 'nothing'}. "
            f"Got {found or 'nothing'}: another writer moved it; see `raypipe history`, then decide again."
        )


def _record(session: Session, change: AliasChange) -> None:
    session.run(
        "INSERT INTO raypipe_aliases (pipeline, alias, version, epoch) "
        "VALUES (:pipeline, :alias, :version, :epoch) "
        "ON CONFLICT (pipeline, alias) DO UPDATE SET version = excluded.version, epoch = excluded.epoch",
        pipeline=change.pipeline,
        alias=change.alias,
        version=change.version,
        epoch=change.epoch,
    )
    session.run(
        "INSERT INTO raypipe_alias_history (pipeline, epoch, alias, version, previous, reason, changed_at) "
        "VALUES (:pipeline, :epoch, :alias, :version, :previous, :reason, :changed_at)",
        pipeline=change.pipeline,
        epoch=change.epoch,
        alias=change.alias,
        version=change.version,
        previous=change.previous,
        reason=change.reason,
        changed_at=change.changed_at.isoformat(),
    )
