"""What the `serving` part of a config says."""

from __future__ import annotations

import ipaddress
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
    upscale_delay_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """For how long more replicas must be wanted before one is added."""
    downscale_delay_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
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
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Where the Open Inference Protocol is answered over gRPC too, on the same host; none is nowhere."""
    auth: Literal["auto", "token", "off"] = "auto"
    """Whether predictions, labels and the status are for whoever shows a token. `auto` asks for one wherever
    others than this machine can reach the endpoint, and where `token_file` is set."""
    token_file: str | None = None
    """The file with the token for predictions and labels; none is `serving.token` in the home, which `up`
    makes."""
    replicas: ReplicaSettings = ReplicaSettings()
    max_ongoing_requests: Annotated[int, Field(ge=1)] = 256
    """Requests in progress per replica before further ones are refused."""
    max_sustained_requests: Annotated[int, Field(ge=1)] = 36
    """As many of them for longer than a tenth of a second are too many too: a burst is let in, but where more
    come all the time than can be answered, the answers stay quick."""
    max_rows: Annotated[int, Field(ge=1)] = 10_000
    """Rows in one request."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """How long the body of a request may take to come; HAProxy, which takes it from the start of Ray, counts
    the head too."""
    max_row_ms: Annotated[float, Field(gt=0)] = 1_000.0
    """How long a version may take to answer one row, at its fastest of a few; a slower one is refused."""
    poll_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    """How often a replica looks whether another version shall serve."""
    capture: CaptureSettings = CaptureSettings()

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.grpc_port == self.port:
            raise ValueError(f"grpc_port must differ from port. Got {self.port} for both")
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the endpoint."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_open(self) -> bool:
        """Whether others than this machine are answered without a token."""
        return not self.is_local and not self.asks_for_token

    @property
    def asks_for_token(self) -> bool:
        """Whether a request must show a token."""
        if self.auth == "auto":
            return self.token_file is not None or not self.is_local
        return self.auth == "token"
