"""What the registry hands out: frozen values, light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Literal

from raypipe.core.ids import Json

RunStatus = Literal["running", "succeeded", "failed", "stopped"]


class Anything(Enum):
    """The type of `ANYTHING`, which says that a writer expects nothing in particular."""

    ANYTHING = "anything"


ANYTHING: Final = Anything.ANYTHING


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: its number, and the digest of the MANIFEST.json that describes its folder."""

    pipeline: str
    version: str
    manifest_sha256: str
    created_at: datetime
    data_version: str
    run: str
    family: str
    format: str
    metrics: Json
    removed_at: datetime | None = None
    """When its files were given up; what is left is this record."""
    removed_reason: str = ""
    pin: str | None = None
    """Why it must not be removed, as a person said, maybe in no words; None where it is not pinned."""


@dataclass(frozen=True)
class AliasChange:
    """An alias moved: `previous` is None where it was new; a later change has a larger `epoch`."""

    pipeline: str
    alias: str
    version: str
    previous: str | None
    epoch: int
    reason: str
    changed_at: datetime


@dataclass(frozen=True)
class LedgerEntry:
    """One decision or event; `seq` counts from 1 in each pipeline, without gaps."""

    pipeline: str
    seq: int
    at: datetime
    kind: str
    subject: str
    detail: Json


@dataclass(frozen=True)
class Run:
    """One passage through the loop, `number` in order; `ended_at` is None while it runs, or where it died.

    `id` follows from what is learned from what, so a repeated run has the id of the first.
    """

    pipeline: str
    number: int
    id: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    detail: Mapping[str, Json]
