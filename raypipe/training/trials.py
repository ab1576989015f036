"""What trials may use of the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trials:
    """How many trials run side by side, and what each holds."""

    cpus_per_trial: float
    max_concurrent: int
