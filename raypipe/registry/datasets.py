"""Data versions: which rows there have been, by content, and the fragments that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from raypipe.core.ids import canonical_json
from raypipe.registry import ledger
from raypipe.registry.database import Session

if TYPE_CHECKING:
    from raypipe.data.versions import Change, DataVersion, Erasure, Fragment
    from raypipe.registry.values import ModelVersion


class Transactions(Protocol):
    """What runs each of them; a registry does."""

    def add_data_version(self, pipeline: str, version: DataVersion) -> bool: ...

    def data_versions(self, pipeline: str) -> tuple[DataVersion, ...]: ...

    def keep_fragment(self, pipeline: str, fragment: Fragment) -> None: ...

    def fragments(self, pipeline: str) -> tuple[Fragment, ...]: ...

    def change_data(self, pipeline: str, change: Change) -> None: ...


@dataclass(frozen=True)
class PipelineVersions:
    """The data versions of one pipeline, as `raypipe.data.versions.Versions` wants them."""

    registry: Transactions
    pipeline: str

    def all(self) -> tuple[DataVersion, ...]:
        return self.registry.data_versions(self.pipeline)

    def fragments(self) -> tuple[Fragment, ...]:
        return self.registry.fragments(self.pipeline)

    def keep(self, fragment: Fragment) -> None:
        self.registry.keep_fragment(self.pipeline, fragment)

    def add(self, version: DataVersion) -> None:
        self.registry.add_data_version(self.pipeline, version)

    def change(self, change: Change) -> None:
        self.registry.change_data(self.pipeline, change)


def erased_since(model: ModelVersion, data: DataVersion | None) -> tuple[Erasure, ...]:
    """Return what was erased from the rows of a model after it learned from them."""
    erased = () if data is None else data.erased
    return tuple(one for one in erased if one.n_rows and one.at >= model.created_at)


def add_data_version(session: Session, pipeline: str, version: DataVersion, at: datetime) -> bool:
    """Record a data version and return True; return False where its content is known already.

    One that was removed is made again: it becomes the newest, and keeps what was erased from it.
    """
    known = data_version(session, pipeline, version.id)
    if known is not None:
        if known.removed_at is None:
            return False
        version = replace(version, erased=known.erased)
        delete = "DELETE FROM raypipe_data_versions WHERE pipeline = :pipeline AND id = :id"
        session.run(delete, pipeline=pipeline, id=version.id)
    keep_fragments(session, pipeline, version.fragments)
    session.run(
        "INSERT INTO raypipe_data_versions (pipeline, number, id, content, fragments) "
        "VALUES (:pipeline, :number, :id, :content, :fragments)",
        pipeline=pipeline,
        number=_next_number(session, pipeline, "raypipe_data_versions"),
        id=version.id,
        content=_content(version),
        fragments=_ids(version),
    )
    detail = {"parent": version.parent, "n_rows": version.n_rows, "n_read": version.n_read}
    ledger.append(session, pipeline, "data_version_added", version.id, detail, at)
    return True


def change(session: Session, pipeline: str, change: Change, at: datetime) -> None:
    """Record versions and fragments as they are from now on, and append an entry to the ledger."""
    for version in change.versions:
        session.run(
            "UPDATE raypipe_data_versions SET content = :content, fragments = :fragments "
            "WHERE pipeline = :pipeline AND id = :id",
            pipeline=pipeline,
            id=version.id,
            content=_content(version),
            fragments=_ids(version),
        )
    for fragment in change.fragments:
        session.run(
            "UPDATE raypipe_fragments SET content = :content WHERE pipeline = :pipeline AND id = :id",
            pipeline=pipeline,
            id=fragment.id,
            content=canonical_json(fragment.to_json()).decode(),
        )
    for id in change.forgotten:
        session.run(
            "DELETE FROM raypipe_fragments WHERE pipeline = :pipeline AND id = :id", pipeline=pipeline, id=id
        )
    ledger.append(session, pipeline, change.kind, change.subject, change.detail, at)


def keep_fragments(session: Session, pipeline: str, fragments: Iterable[Fragment]) -> None:
    """Record fragments that are not recorded yet."""
    number = _next_number(session, pipeline, "raypipe_fragments")
    for fragment in fragments:
        known = "SELECT number FROM raypipe_fragments WHERE pipeline = :pipeline AND id = :id"
        if not session.rows(known, pipeline=pipeline, id=fragment.id):
            session.run(
                "INSERT INTO raypipe_fragments (pipeline, number, id, content) "
                "VALUES (:pipeline, :number, :id, :content)",
                pipeline=pipeline,
                number=number,
                id=fragment.id,
                content=canonical_json(fragment.to_json()).decode(),
            )
            number += 1


def fragments(session: Session, pipeline: str) -> tuple[Fragment, ...]:
    """Return all fragments that are kept, oldest first."""
    return tuple(_fragments(session, pipeline).values())


def data_version(session: Session, pipeline: str, id: str) -> DataVersion | None:
    """Return the data version with an id."""
    rows = session.rows(
        "SELECT content, fragments FROM raypipe_data_versions WHERE pipeline = :pipeline AND id = :id",
        pipeline=pipeline,
        id=id,
    )
    return _read(rows[0], _fragments(session, pipeline)) if rows else None


def data_versions(session: Session, pipeline: str) -> tuple[DataVersion, ...]:
    """Return the data versions of a pipeline, newest first."""
    rows = session.rows(
        "SELECT content, fragments FROM raypipe_data_versions "
        "WHERE pipeline = :pipeline ORDER BY number DESC",
        pipeline=pipeline,
    )
    known = _fragments(session, pipeline) if rows else {}
    return tuple(_read(row, known) for row in rows)


def _content(version: DataVersion) -> str:
    return canonical_json(replace(version, fragments=()).to_json()).decode()


def _ids(version: DataVersion) -> str:
    return " ".join(fragment.id for fragment in version.fragments)


def _fragments(session: Session, pipeline: str) -> Mapping[str, Fragment]:
    from raypipe.data.versions import Fragment

    rows = session.rows(
        "SELECT id, content FROM raypipe_fragments WHERE pipeline = :pipeline ORDER BY number",
        pipeline=pipeline,
    )
    return {id: Fragment.from_json(json.loads(content)) for id, content in rows}


def _read(row: tuple[Any, ...], known: Mapping[str, Fragment]) -> DataVersion:
    from raypipe.data.versions import DataVersion

    content, ids = row
    return replace(
        DataVersion.from_json(json.loads(content)), fragments=tuple(known[id] for id in ids.split())
    )


def _next_number(session: Session, pipeline: str, table: str) -> int:
    query = f"SELECT COALESCE(MAX(number), 0) FROM {table} WHERE pipeline = :pipeline"
    return 1 + int(session.rows(query, pipeline=pipeline)[0][0])
