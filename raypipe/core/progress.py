"""How long work tells whoever watches how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Step:
    """One line of progress: the stage, what it does now, and the share done in [0, 1] where known."""

    stage: str
    message: str
    done_ratio: float | None = None


class Progress(Protocol):
    """Whatever shows progress: the terminal, a notebook, a test's list."""

    def __call__(self, step: Step) -> None: ...


def silent(step: Step) -> None:
    """Show nothing."""
