"""Data versions: which rows there have been, by content."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from raypipe.core.ids import canonical_json
from raypipe.registry import ledger
from raypipe.registry.database import Session

if TYPE_CHECKING:
    from raypipe.data.versions import DataVersion


def add_data_version(session: Session, pipeline: str, version: DataVersion, at: datetime) -> bool:
    """Record a data version and return True; return False where its content is known already."""
    if data_version(session, pipeline, version.id) is not None:
        return False
    query = "SELECT COALESCE(MAX(number), 0) FROM raypipe_data_versions WHERE pipeline = :pipeline"
    session.run(
        "INSERT INTO raypipe_data_versions (pipeline, number, id, content) "
        "VALUES (:pipeline, :number, :id, :content)",
        pipeline=pipeline,
        number=1 + int(session.rows(query, pipeline=pipeline)[0][0]),
        id=version.id,
        content=canonical_json(version.to_json()).decode(),
    )
    detail = {"parent": version.parent, "n_rows": version.n_rows}
    ledger.append(session, pipeline, "data_version_added", version.id, detail, at)
    return True


def data_version(session: Session, pipeline: str, id: str) -> DataVersion | None:
    """Return the data version with an id."""
    rows = session.rows(
        "SELECT content FROM raypipe_data_versions WHERE pipeline = :pipeline AND id = :id",
        pipeline=pipeline,
        id=id,
    )
    return _read(rows[0][0]) if rows else None


def data_versions(session: Session, pipeline: str) -> tuple[DataVersion, ...]:
    """Return the data versions of a pipeline, newest first."""
    rows = session.rows(
        "SELECT content FROM raypipe_data_versions WHERE pipeline = :pipeline ORDER BY number DESC",
        pipeline=pipeline,
    )
    return tuple(_read(content) for (content,) in rows)


def _read(content: str) -> DataVersion:
    from raypipe.data.versions import DataVersion

    return DataVersion.from_json(json.loads(content))
