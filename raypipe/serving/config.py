"""What the `serving` part of a config says."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from raypipe.core.settings import Settings
from raypipe.data.config import ColumnName

Redact: TypeAlias = Literal["drop", "hash", "mask"]


class ReplicaSettings(Settings):
    """How many processes answer."""

    min: Annotated[int, Field(ge=1)] = 1
    max: Annotated[int, Field(ge=1)] = 1
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 16.0
    """Requests in progress per replica that autoscaling aims at."""
    cpus: Annotated[float, Field(gt=0)] = 0.2
    """CPUs that a replica reserves."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min must be <= max. Got min {self.min} and max {self.max}")
        return self


class CaptureSettings(Settings):
    """What is kept of requests and answers."""

    enabled: bool = True
    sync_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.02
    """How long an answered prediction may wait for the disk; a power cut loses at most this much."""
    commit_interval_s: Annotated[float, Field(ge=0.5, le=3600)] = 5.0
    """How often captured rows move into their table."""
    sample_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of answered rows that is kept, chosen by a hash of their ids."""
    redact: dict[ColumnName, Redact] = Field(default_factory=dict)
    """What is never written of a request: `drop` leaves the column out, `hash` keeps a keyed hash, by which
    rows can still be joined, `mask` only that there was a value. Such a column must be in `data.drop` too."""


class ServingSettings(Settings):
    """Where and how the endpoint answers."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    replicas: ReplicaSettings = ReplicaSettings()
    max_ongoing_requests: Annotated[int, Field(ge=1)] = 256
    """Requests in progress per replica before further ones are refused."""
    max_rows: Annotated[int, Field(ge=1)] = 10_000
    """Rows in one request."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    poll_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    """How often a replica looks whether another version shall serve."""
    capture: CaptureSettings = CaptureSettings()
