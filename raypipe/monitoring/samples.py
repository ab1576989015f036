"""Numbers for display: what is exported under which name, apart from who exports it.

Prometheus reads them with the prefix `ray_`, counters with the suffix `_total`. They are for people's eyes:
nothing decides on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A name with its meaning, and the names of the tags that each of its samples carries."""

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    tags: tuple[str, ...] = ("pipeline",)

    @property
    def scraped_name(self) -> str:
        """The name under which Prometheus finds it."""
        return f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}"

    def of(self, value: float | None, *tags: str) -> Sample:
        """Return a sample with the values of the tags in their order; ValueError for another number."""
        if len(tags) != len(self.tags):
            raise ValueError(f"{self.name} takes the tags {', '.join(self.tags)}. Got {len(tags)} values.")
        return Sample(self, value, tags)


@dataclass(frozen=True)
class Sample:
    """A value now; of a counter, all that was counted since the process started. None is not known."""

    metric: Metric
    value: float | None
    tags: tuple[str, ...]
