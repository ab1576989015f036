"""What a champion scored before it was harmed, and when its successors, not back at that, ask for another.

A challenger that is surely better than a harmed champion takes its place, though it may be far from what that
one was: just after a change few rows of the new world have labels. Harm then compares it with its own
release, and is silent. So the level that was lost is remembered, and while the champion is surely below it a
retrain is asked for each time that the labels since the harm have doubled: a better model needs more rows,
and there are few such times. `MAX_UNHELPFUL` retrains in a row that bring no new champion end it: the world
has become harder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raypipe.control.happening import Measured

if TYPE_CHECKING:
    from raypipe.control.events import Quality

MAX_UNHELPFUL = 3


@dataclass(frozen=True)
class Level(Measured):
    """A version's score, in the task's metric, on the rows that graded it at release; 95% interval."""

    version: str
    metric: str
    larger_is_better: bool
    value: float | None
    low: float | None
    high: float | None

    @property
    def worse_end(self) -> float | None:
        """The end of the interval that it surely was not worse than; the score where there is none."""
        end = self.low if self.larger_is_better else self.high
        return self.value if end is None else end

    def is_better_than(self, other: Level) -> bool:
        """Compare the worse ends; none is the worst."""
        mine, theirs = self.worse_end, other.worse_end
        if mine is None or theirs is None:
            return mine is not None
        return mine > theirs if self.larger_is_better else mine < theirs


@dataclass(frozen=True)
class Lost:
    """A level that no champion has been shown to be back at."""

    level: Level
    harmed: str
    """The champion that was harmed last."""
    n_labels: int
    """How many labels there were when that was first seen."""

    def n_labels_for_next(self, n_labels_before: int, warm_up_labels: int) -> int:
        """Return at how many labels a successor asks, where the last retrain had `n_labels_before`."""
        return n_labels_before + max(warm_up_labels, n_labels_before - self.n_labels)

    def is_still(self, champion: str, quality: Quality | None) -> bool:
        """Return whether a champion other than the harmed one scores surely below the level."""
        worse_end = self.level.worse_end
        if quality is None or worse_end is None or champion == self.harmed:
            return False
        return quality.metric == self.level.metric and quality.surely_beyond(worse_end)


def level_text(level: Level) -> str:
    """Return what a version scored at release."""
    ends = level.value, level.low, level.high
    value, low, high = ("none" if end is None else f"{end:.4g}" for end in ends)
    return f"{level.metric} {value} [{low}, {high}] of {level.version} at release"


def after_harm(known: Lost | None, level: Level | None, n_labels: int | None) -> Lost | None:
    """Return what is lost once a champion with that level at release was harmed.

    The best level since a champion was last back counts, in the metric of the newest.
    """
    if level is None or n_labels is None or (known is not None and known.harmed == level.version):
        return known
    lost = Lost(level, level.version, n_labels)
    if known is None or known.level.metric != level.metric or level.is_better_than(known.level):
        return lost
    return replace(lost, level=known.level)
