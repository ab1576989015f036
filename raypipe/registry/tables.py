"""The registry's tables, in the SQL that SQLite and PostgreSQL share.

Names start with `raypipe_`, so that a PostgreSQL database can be shared with others.
Times are ISO 8601 texts in UTC, JSON is text, and order comes from numbers, never from a clock.
"""

from __future__ import annotations

from raypipe.core.errors import RegistryError
from raypipe.registry.database import Session

SCHEMA_VERSION = 2
SCHEMA_TABLE = "raypipe_schema"
NEWEST_TABLE = "raypipe_model_marks"
"""Added since without a new schema: a database of before gets it when it is opened."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS raypipe_schema (
        id BIGINT PRIMARY KEY,
        version BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS raypipe_data_versions (
        pipeline TEXT NOT NULL,
        number BIGINT NOT NULL,
        id TEXT NOT NULL,
        content TEXT NOT NULL,
        fragments TEXT NOT NULL,
        PRIMARY KEY (pipeline, number),
        UNIQUE (pipeline, id))""",
    """CREATE TABLE IF NOT EXISTS raypipe_fragments (
        pipeline TEXT NOT NULL,
        number BIGINT NOT NULL,
        id TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (pipeline, number),
        UNIQUE (pipeline, id))""",
    """CREATE TABLE IF NOT EXISTS raypipe_model_versions (
        pipeline TEXT NOT NULL,
        number BIGINT NOT NULL,
        manifest_sha256 TEXT NOT NULL,
        created_at TEXT NOT NULL,
        data_version TEXT NOT NULL,
        run TEXT NOT NULL,
        family TEXT NOT NULL,
        format TEXT NOT NULL,
        metrics TEXT NOT NULL,
        PRIMARY KEY (pipeline, number))""",
    """CREATE TABLE IF NOT EXISTS raypipe_model_marks (
        pipeline TEXT NOT NULL,
        number BIGINT NOT NULL,
        removed_at TEXT,
        removed_reason TEXT NOT NULL,
        pin TEXT,
        PRIMARY KEY (pipeline, number))""",
    """CREATE TABLE IF NOT EXISTS raypipe_aliases (
        pipeline TEXT NOT NULL,
        alias TEXT NOT NULL,
        version TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        PRIMARY KEY (pipeline, alias))""",
    """CREATE TABLE IF NOT EXISTS raypipe_alias_history (
        pipeline TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        alias TEXT NOT NULL,
        version TEXT NOT NULL,
        previous TEXT,
        reason TEXT NOT NULL,
        changed_at TEXT NOT NULL,
        PRIMARY KEY (pipeline, epoch))""",
    """CREATE TABLE IF NOT EXISTS raypipe_epochs (
        pipeline TEXT PRIMARY KEY,
        epoch BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS raypipe_controllers (
        pipeline TEXT PRIMARY KEY,
        epoch BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS raypipe_ledger (
        pipeline TEXT NOT NULL,
        seq BIGINT NOT NULL,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (pipeline, seq))""",
    """CREATE TABLE IF NOT EXISTS raypipe_runs (
        pipeline TEXT NOT NULL,
        number BIGINT NOT NULL,
        id TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        detail TEXT NOT NULL,
        PRIMARY KEY (pipeline, number))""",
)


def create(session: Session) -> None:
    """Create the tables where absent."""
    for statement in _TABLES:
        session.run(statement)
    if _version(session) is None:
        session.run("INSERT INTO raypipe_schema (id, version) VALUES (1, :version)", version=SCHEMA_VERSION)


def check(session: Session, name: str) -> None:
    """Refuse the tables of another schema; `name` is what to call the database."""
    found = _version(session)
    if found != SCHEMA_VERSION:
        raise RegistryError(
            f"the registry {name} must have schema {SCHEMA_VERSION}. Got {found}: another release of raypipe "
            f"wrote it; use that one, or set `home` elsewhere."
        )


def _version(session: Session) -> int | None:
    rows = session.rows("SELECT version FROM raypipe_schema WHERE id = 1")
    return int(rows[0][0]) if rows else None
