"""What all that the controller is told has in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Measured:
    """Makes None of every float that is not finite, for JSON has no NaN and NaN equals nothing."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float) and not math.isfinite(value):
                object.__setattr__(self, each.name, None)


@dataclass(frozen=True)
class Happening(Measured):
    """Anything that happened, at an aware time; raises ValueError for a naive one."""

    at: datetime
    controller: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at.tzinfo is None:
            raise ValueError(f"the time of an event must be aware, in UTC. Got {self.at!r}")
