"""Keeping what was answered: appended to the write-ahead log before the answer leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from raypipe.core.ids import Json
from raypipe.serving.feedback import Label


@dataclass(frozen=True)
class Answered:
    """The answered rows of one request: as they were received, and as they were answered."""

    at: datetime
    version: str
    epoch: int
    rows: Sequence[msgspec.Raw]
    items: Sequence[dict[str, Json]]


@dataclass(frozen=True)
class CaptureState:
    """What was kept since the replica started, and why something was not."""

    enabled: bool
    n_captured: int = 0
    n_not_captured: int = 0
    why_not: str | None = None

    def to_json(self) -> Json:
        return asdict(self)


class Capture(Protocol):
    """Keeps predictions and labels."""

    def predictions(self, answered: Answered) -> None:
        """Keep the answers of one request; a failure is counted and told by `state`, never raised."""
        ...

    def labels(self, labels: Sequence[Label], at: datetime) -> None:
        """Keep labels; raises StorageError where they cannot be kept."""
        ...

    def state(self) -> CaptureState: ...

    def close(self) -> None:
        """Give everything to the disk."""
        ...
