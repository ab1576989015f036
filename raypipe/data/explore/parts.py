"""What is known of the parts that a model learned from, chose by and was judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainedColumn:
    """The training rows of one column: by ranges of numbers, or by categories."""

    n_rows: int
    n_missing: int
    edges: tuple[float, ...] = ()
    """Upper ends of ranges of numbers, each with one of `counts`."""
    counts: tuple[float, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict)
    """The most frequent ones."""


@dataclass(frozen=True)
class Parts:
    """The parts of a version, as a model that learned from it had them."""

    model: str
    n_train: int
    n_validation: int
    n_test: int
    columns: Mapping[str, TrainedColumn] = field(default_factory=dict)
