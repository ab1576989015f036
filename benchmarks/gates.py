"""Gates simulated: how often a challenger that is not better passes, and one that is.

    python -m benchmarks.gates --gates 500

Each gate's first look is at 200 rows, by `raypipe.training.compare` and the gate's own verdict; where it is
inconclusive, rows come in looks of 50, up to 1,000, as they do to a controller. Beside it stand the first
look alone, and one fixed look at all 1,200 rows (a t interval of the gains of blocks). Kinds of challengers:

- as good: by the metric just as good as the champion, on other rows;
- at the margin: better by just what the margin asks, which is not enough;
- a little better, and better: the first look tells some of them.

Rows are independent, or resemble their neighbours: what misleads the models, alike or each by itself, has a
correlation of 0.8 from row to row, as that of half-hours does.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import stdtrit

from raypipe.control.gate import verdict_of
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_sequence import goes_on, judge_sequence
from raypipe.control.happening import Verdict
from raypipe.policy.config import GateSettings
from raypipe.stats.gains import Gains
from raypipe.stats.metrics import METRICS
from raypipe.stats.proportions import clopper_pearson
from raypipe.training.compare import Answers, Comparison, compare, scores
from raypipe.training.task import Task

Floats = npt.NDArray[np.float64]
N_FIRST, N_LATER, N_LOOK = 200, 1_000, 50
TASKS = {
    "auc": Task("classification", "late", ("no", "yes"), "auc"),
    "mae": Task("regression", "delay", (), "mae"),
}


@dataclass(frozen=True)
class Kind:
    """What a challenger is like; `skill` is what the champion has less of."""

    name: str
    metric: str
    skill: float
    is_better: bool
    dependence: float = 0.0
    margin: float | None = 0.0
    """None: the very gain that it has."""


KINDS = (
    Kind("as good", "auc", 0.0, False),
    Kind("as good, neighbours alike", "auc", 0.0, False, 0.8),
    Kind("at the margin", "auc", 0.3, False, margin=None),
    Kind("a little better", "auc", 0.2, True),
    Kind("better", "auc", 0.4, True),
    Kind("as good", "mae", 0.0, False),
    Kind("as good, neighbours alike", "mae", 0.0, False, 0.8),
    Kind("at the margin", "mae", 0.2, False, margin=None),
    Kind("a little better", "mae", 0.15, True),
    Kind("better", "mae", 0.3, True),
)


@dataclass(frozen=True)
class Rows:
    """Targets and both models' answers, in the order in which rows were labelled."""

    task: Task
    y: npt.NDArray[np.int64] | Floats
    old: Floats
    new: Floats

    def part(self, start: int, end: int) -> Rows:
        return Rows(self.task, self.y[start:end], self.old[start:end], self.new[start:end])

    @property
    def all(self) -> tuple[npt.NDArray[np.int64] | Floats, Floats, Floats]:
        return self.y, self.old, self.new

    @property
    def sides(self) -> tuple[Answers, Answers]:
        return Answers("v1", self.old), Answers("v2", self.new)


def drawn(kind: Kind, n_rows: int, random: np.random.Generator) -> Rows:
    """Return rows of which a part of what misleads the models is common to both."""
    common, *own = (_noise(n_rows, kind.dependence, random) for _ in range(3))
    misled = [0.6 * common + 0.8 * one for one in own]
    if kind.metric == "auc":
        y = (random.random(n_rows) < 0.3).astype(np.int64)
        skills = (0.6, 0.6 + kind.skill)
        good = [
            1 / (1 + np.exp(-(skill * (2 * y - 1) + one))) for skill, one in zip(skills, misled, strict=True)
        ]
        return Rows(TASKS["auc"], y, *(np.stack([1 - p, p], axis=1) for p in good))
    y = random.normal(size=n_rows)
    # Errors have a long tail, as those of delays and demands do.
    errors = [np.sign(one) * np.expm1(np.abs(one)) for one in misled]
    return Rows(TASKS["mae"], y, y + errors[0], y + errors[1] / (1 + kind.skill))


def _noise(n_rows: int, dependence: float, random: np.random.Generator) -> Floats:
    """Return standard normal values, each with a correlation to the one before."""
    fresh = random.normal(size=n_rows)
    if not dependence:
        return fresh
    kept = math.sqrt(1 - dependence**2)
    fresh[0] /= kept
    return np.asarray(lfilter([kept], [1, -dependence], fresh), np.float64)


def true_gain(kind: Kind) -> float:
    """Return the gain of a kind, on a million rows."""
    rows, metric = drawn(kind, 1_000_000, np.random.default_rng(0)), METRICS[kind.metric]
    return metric.gain(metric(rows.y, rows.new), metric(rows.y, rows.old))


@dataclass(frozen=True)
class Outcome:
    """How one gate ended, and how many rows decided; beside it the verdicts of fixed looks."""

    verdict: Verdict
    n_rows: int
    first: Verdict
    whole: bool


def gate(kind: Kind, settings: GateSettings, *, seed: int) -> Outcome:
    """Judge one challenger."""
    rows = drawn(kind, N_FIRST + N_LATER, np.random.default_rng(seed))
    found = _look(rows.part(0, N_FIRST), settings, seed)
    first, _ = verdict_of(found, settings)
    whole = _at_once(rows, settings)
    if not goes_on(first, found, settings):
        return Outcome(first, N_FIRST, first, whole)
    judged, end = _sequence(rows.part(N_FIRST, N_FIRST + N_LATER), found, settings)
    return Outcome(judged, N_FIRST + end, first, whole)


def _sequence(rows: Rows, first: Comparison, settings: GateSettings) -> tuple[Verdict, int]:
    """Return the verdict of later rows, and how many decided."""
    assert first.scale is not None
    metric = rows.task.metric
    gains = Gains.of(metric, *rows.part(0, 0).all, first.scale, margin=settings.margin)
    for end in range(N_LOOK, N_LATER + 1, N_LOOK):
        fresh = rows.part(gains.n_rows, end)
        gains += Gains.of(metric, *fresh.all, first.scale, margin=settings.margin)
        if gains.is_above or gains.is_below or end == N_LATER:
            known = rows.part(0, end)
            seen = GateEvidence(gains, scores(rows.task, known.y, *known.sides))
            judged = judge_sequence(seen, settings)
            if judged is not None:
                return judged[0], end
    raise AssertionError("a sequence must end")


def _look(rows: Rows, settings: GateSettings, seed: int) -> Comparison:
    return compare(rows.task, rows.y, *rows.sides, seed=seed, margin=settings.margin)


def _at_once(rows: Rows, settings: GateSettings) -> bool:
    """Return whether all the rows at once pass a challenger, by blocks as long as those of the first look."""
    metric, n_each = METRICS[rows.task.metric], 24
    parts = [rows.part(start, start + n_each) for start in range(0, N_FIRST + N_LATER, n_each)]
    gains = np.array([metric.gain(metric(one.y, one.new), metric(one.y, one.old)) for one in parts])
    half = float(stdtrit(len(gains) - 1, 0.975)) * float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return float(gains.mean()) - half > settings.margin


@dataclass(frozen=True)
class Row:
    """What became of many gates of one kind."""

    kind: Kind
    gain: float
    outcomes: tuple[Outcome, ...]

    @property
    def n_passed(self) -> int:
        return sum(one.verdict == "pass" for one in self.outcomes)

    def line(self) -> str:
        n = len(self.outcomes)
        low, high = clopper_pearson(self.n_passed, n)
        first = sum(one.first == "pass" for one in self.outcomes)
        whole = sum(one.whole for one in self.outcomes)
        failed = sum(one.verdict == "fail" for one in self.outcomes)
        rows = [one.n_rows for one in self.outcomes]
        wanted = "" if self.kind.is_better else " (wrong)"
        return (
            f"| {self.kind.name} | {self.kind.metric} {self.gain:.3g} "
            f"| {self.n_passed / n:.1%} [{low:.1%}, {high:.1%}]{wanted} | {failed / n:.1%} "
            f"| {np.median(rows):.0f}, {np.mean(rows):.0f} | {first / n:.1%} | {whole / n:.1%} |\n"
        )


HEAD = (
    "| challenger | true gain | sequential gate passes, exact 95% interval | fails it "
    "| rows that decide: median, mean | 200 rows alone pass | 1,200 rows at once pass |\n"
    "|---|---|---|---|---|---|---|\n"
)


def gates(n: int, kinds: tuple[Kind, ...] = KINDS) -> Iterator[Row]:
    """Yield what becomes of `n` gates of each kind of challenger."""
    for kind in kinds:
        number, gain = KINDS.index(kind), true_gain(kind)
        margin = gain if kind.margin is None else kind.margin
        settings = GateSettings(margin=margin, wait_labels=N_LATER)
        found = tuple(gate(kind, settings, seed=1_000_000 * number + i) for i in range(n))
        yield Row(kind, gain, found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gates", type=int, default=500)
    parser.add_argument("--kinds", type=int, nargs="*", help="their numbers, from 0 on; all by default")
    asked = parser.parse_args()
    sys.stdout.write(HEAD)
    kinds = KINDS if asked.kinds is None else tuple(KINDS[number] for number in asked.kinds)
    for row in gates(asked.gates, kinds):
        sys.stdout.write(row.line())
        sys.stdout.flush()


if __name__ == "__main__":
    main()
