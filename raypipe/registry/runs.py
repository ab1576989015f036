"""Runs: passages through the loop, from their start to how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from raypipe.core.errors import RegistryError
from raypipe.core.ids import Json, canonical_json
from raypipe.registry import ledger
from raypipe.registry.database import Row, Session
from raypipe.registry.values import Run, RunStatus

_COLUMNS = "pipeline, number, id, status, started_at, ended_at, detail"


def start_run(session: Session, pipeline: str, id: str, detail: Mapping[str, Json], at: datetime) -> Run:
    """Record that a run began; the same id may run again."""
    query = "SELECT COALESCE(MAX(number), 0) FROM raypipe_runs WHERE pipeline = :pipeline"
    number = 1 + int(session.rows(query, pipeline=pipeline)[0][0])
    session.run(
        "INSERT INTO raypipe_runs (pipeline, number, id, status, started_at, ended_at, detail) "
        "VALUES (:pipeline, :number, :id, 'running', :started_at, NULL, :detail)",
        pipeline=pipeline,
        number=number,
        id=id,
        started_at=at.isoformat(),
        detail=canonical_json(detail).decode(),
    )
    ledger.append(session, pipeline, "run_started", id, detail, at)
    return Run(pipeline, number, id, "running", at, None, detail)


def end_run(
    session: Session, pipeline: str, id: str, status: RunStatus, detail: Mapping[str, Json], at: datetime
) -> None:
    """Record how the newest run with an id ended; `detail` replaces what its start said."""
    query = "SELECT MAX(number) FROM raypipe_runs WHERE pipeline = :pipeline AND id = :id"
    number = session.rows(query, pipeline=pipeline, id=id)[0][0]
    if number is None:
        raise RegistryError(f"a run of {pipeline} must have started before it ends. Got {id!r}.")
    session.run(
        "UPDATE raypipe_runs SET status = :status, ended_at = :ended_at, detail = :detail "
        "WHERE pipeline = :pipeline AND number = :number",
        pipeline=pipeline,
        number=int(number),
        status=status,
        ended_at=at.isoformat(),
        detail=canonical_json(detail).decode(),
    )
    ledger.append(session, pipeline, f"run_{status}", id, detail, at)


def runs(session: Session, pipeline: str, limit: int) -> tuple[Run, ...]:
    """Return the last `limit` runs, newest first."""
    rows = session.rows(
        f"SELECT {_COLUMNS} FROM raypipe_runs WHERE pipeline = :pipeline ORDER BY number DESC LIMIT :limit",
        pipeline=pipeline,
        limit=limit,
    )
    return tuple(_run(row) for row in rows)


def _run(row: Row) -> Run:
    pipeline, number, id, status, started_at, ended_at, detail = row
    started = datetime.fromisoformat(started_at)
    ended = datetime.fromisoformat(ended_at) if ended_at else None
    return Run(pipeline, int(number), id, status, started, ended, json.loads(detail))
