"""The ledger and the epochs: what happened in which order, and who may still act."""

from __future__ import annotations

import json
from datetime import datetime

from raypipe.core.errors import StaleEpoch
from raypipe.core.ids import Json, canonical_json
from raypipe.registry.database import Row, Session
from raypipe.registry.values import LedgerEntry


def append(
    session: Session, pipeline: str, kind: str, subject: str, detail: Json, at: datetime
) -> LedgerEntry:
    """Append an entry under the next number of the pipeline."""
    seq = 1 + int(
        session.rows(
            "SELECT COALESCE(MAX(seq), 0) FROM raypipe_ledger WHERE pipeline = :pipeline", pipeline=pipeline
        )[0][0]
    )
    session.run(
        "INSERT INTO raypipe_ledger (pipeline, seq, at, kind, subject, detail) "
        "VALUES (:pipeline, :seq, :at, :kind, :subject, :detail)",
        pipeline=pipeline,
        seq=seq,
        at=at.isoformat(),
        kind=kind,
        subject=subject,
        detail=canonical_json(detail).decode(),
    )
    return LedgerEntry(pipeline, seq, at, kind, subject, detail)


def history(
    session: Session, pipeline: str, limit: int | None, after_seq: int = 0
) -> tuple[LedgerEntry, ...]:
    """Return the last `limit` entries (all if None) with numbers above `after_seq`, newest first."""
    last, limits = ("", {}) if limit is None else (" LIMIT :limit", {"limit": limit})
    rows = session.rows(
        "SELECT pipeline, seq, at, kind, subject, detail FROM raypipe_ledger "
        f"WHERE pipeline = :pipeline AND seq > :after_seq ORDER BY seq DESC{last}",
        pipeline=pipeline,
        after_seq=after_seq,
        **limits,
    )
    return tuple(_entry(row) for row in rows)


def _entry(row: Row) -> LedgerEntry:
    pipeline, seq, at, kind, subject, detail = row
    return LedgerEntry(pipeline, int(seq), datetime.fromisoformat(at), kind, subject, json.loads(detail))


def pipelines(session: Session) -> tuple[str, ...]:
    """Return the names of all pipelines that ever wrote, sorted."""
    return tuple(
        row[0] for row in session.rows("SELECT DISTINCT pipeline FROM raypipe_ledger ORDER BY pipeline")
    )


def epoch(session: Session, pipeline: str) -> int:
    """Return the last epoch handed out, 0 where there is none."""
    rows = session.rows("SELECT epoch FROM raypipe_epochs WHERE pipeline = :pipeline", pipeline=pipeline)
    return int(rows[0][0]) if rows else 0


def next_epoch(session: Session, pipeline: str, after: int | None = None) -> int:
    """Hand out the next epoch; raises StaleEpoch where `after` is not the last one."""
    current = epoch(session, pipeline)
    if after is not None and after != current:
        raise StaleEpoch(
            f"the epoch of {pipeline} must still be {after}. Got {current}: another writer has moved on; "
            f"read its state again."
        )
    session.run(
        "INSERT INTO raypipe_epochs (pipeline, epoch) VALUES (:pipeline, :epoch) "
        "ON CONFLICT (pipeline) DO UPDATE SET epoch = excluded.epoch",
        pipeline=pipeline,
        epoch=current + 1,
    )
    return current + 1


def take_over(session: Session, pipeline: str) -> int:
    """Hand out the next epoch to a controller: what an older one writes is refused from now on."""
    epoch = next_epoch(session, pipeline)
    session.run(
        "INSERT INTO raypipe_controllers (pipeline, epoch) VALUES (:pipeline, :epoch) "
        "ON CONFLICT (pipeline) DO UPDATE SET epoch = excluded.epoch",
        pipeline=pipeline,
        epoch=epoch,
    )
    return epoch


def refuse_replaced(session: Session, pipeline: str, controller: int | None) -> None:
    """Raise StaleEpoch where a controller of this epoch is not the newest; None is no controller."""
    if controller is None:
        return
    rows = session.rows("SELECT epoch FROM raypipe_controllers WHERE pipeline = :pipeline", pipeline=pipeline)
    if rows and int(rows[0][0]) > controller:
        raise StaleEpoch(
            f"the newest controller of {pipeline} has epoch {rows[0][0]}. Got a write of the one with "
            f"{controller}: another has taken over, and it ends."
        )
