"""Harm where labels come late, some later than others: false alarms, and answers to an alarm.

Answers come one a second, wrong with probability .10 as when graded, or .20 from one on. One label in five
never comes;
the delays of the others are exponential, with means that depend on whether the answer was right. Looks are
every 500 answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from raypipe.monitoring.harm import Budget, HarmState, Release, harm, update
from raypipe.monitoring.labelled_life import Change, LabelledLife, mature_age_s, watched_cohorts
from raypipe.stats.delays import DelayCurve
from raypipe.stats.proportions import clopper_pearson

Floats = npt.NDArray[np.float64]
WRONG, WORSE, EVER = 0.10, 0.20, 0.8
N_GRADED, LOOK_EVERY, COHORT_ROWS = 5_000, 500, 100
DELAYS_S = {
    "errors ten times as late": (300.0, 3_000.0),
    "all alike": (600.0, 600.0),
    "errors ten times as soon": (3_000.0, 300.0),
}
"""The mean delay of the label of a right answer, and of a wrong one."""
METHODS = (
    "raypipe, by matured cohorts",
    "the same evidence, by arrival",
    "z-test of what has arrived, p < .05",
)


@dataclass(frozen=True)
class Stream:
    """Answers in their order: the loss of each, and when its label comes; infinity for never."""

    losses: Floats
    arrives_s: Floats
    release: Release

    @classmethod
    def of(cls, n: int, worse_from: int | None, delays_s: tuple[float, float], nth: int) -> Stream:
        """Draw a stream, and the rows that the version was graded on."""
        random = np.random.default_rng(nth)
        p = np.full(n, WRONG)
        if worse_from is not None:
            p[worse_from:] = WORSE
        losses = (random.random(n) < p).astype(np.float64)
        delays = random.exponential(np.where(losses > 0, delays_s[1], delays_s[0]))
        never = random.random(n) >= EVER
        graded = int(random.binomial(N_GRADED, WRONG))
        arrives = np.where(never, np.inf, np.arange(n) + delays)
        return cls(losses, arrives, Release.of_classes(graded, N_GRADED, Budget()))


def first_alarms(stream: Stream) -> dict[str, int | None]:
    """Return at which answer each method first alarms; None where it never does."""
    states = LabelledLife(), HarmState(), np.zeros(len(stream.losses), np.bool_)
    life, arrived, counted = states
    found: dict[str, int | None] = dict.fromkeys(METHODS)
    for now in range(LOOK_EVERY, len(stream.losses) + 1, LOOK_EVERY):
        came = stream.arrives_s <= now
        new = came & (stream.arrives_s > now - LOOK_EVERY)
        arrived = update(arrived, stream.release.bets(stream.losses[new]))
        life = _by_cohorts(life, stream, counted, came, now)
        said = (
            harm(life.harm, Budget()).harmed,
            harm(arrived, Budget()).harmed,
            _z(stream.losses[came], stream.release.mean),
        )
        for method, is_said in zip(METHODS, said, strict=True):
            if is_said and found[method] is None:
                found[method] = now
    return found


def _by_cohorts(
    life: LabelledLife, stream: Stream, counted: npt.NDArray[np.bool_], came: npt.NDArray[np.bool_], now: int
) -> LabelledLife:
    """Take what has matured, as the fold does, and what came late of what was taken before."""
    releases = {None: stream.release}
    rows = np.concatenate(
        [np.arange(one * COHORT_ROWS, (one + 1) * COHORT_ROWS) for one in watched_cohorts(now // COHORT_ROWS)]
    )
    delays = np.where(came[rows], stream.arrives_s[rows] - rows, np.nan)
    after_s = mature_age_s(DelayCurve.of(delays, now - rows.astype(np.float64)), float(now))
    while after_s is not None and (life.n_cohorts + 1) * COHORT_ROWS - 1 + after_s <= now:
        life = life.taken(float(life.n_cohorts), COHORT_ROWS, releases, after_s)
    fresh = came & ~counted
    fresh[life.n_cohorts * COHORT_ROWS :] = False
    counted |= fresh
    at = np.flatnonzero(fresh)
    changes = [Change(int(i) // COHORT_ROWS, None, float(stream.losses[i]), {}) for i in at]
    return life.counted(changes, releases)


def _z(losses: Floats, mean: float) -> bool:
    n = len(losses)
    return n >= 30 and (losses.mean() - mean) / math.sqrt(mean * (1 - mean) / n) > 1.645


HEAD = (
    "| labels | method | false alarms | exact 95% interval | answers to an alarm |\n|---|---|---|---|---|\n"
)


def table(n_streams: int, n_answers: int, healthy: int) -> Iterator[str]:
    """Yield a line for each kind of delay and method: on how many healthy streams, and how soon on others."""
    for name, delays_s in DELAYS_S.items():
        healthy_ones = [first_alarms(Stream.of(n_answers, None, delays_s, nth)) for nth in range(n_streams)]
        worse = [
            first_alarms(Stream.of(n_answers, healthy, delays_s, n_streams + nth)) for nth in range(n_streams)
        ]
        for method in METHODS:
            n_false = sum(one[method] is not None for one in healthy_ones)
            low, high = clopper_pearson(n_false, n_streams)
            after = [one[method] for one in worse]
            waited = [math.inf if at is None else at - healthy for at in after if at is None or at > healthy]
            middle = median(waited) if waited else math.inf
            soon = "-" if math.isinf(middle) else f"{middle:,.0f} ({len(waited)} of {n_streams})"
            yield f"| {name} | {method} | {n_false} of {n_streams} | {low:.1%} to {high:.1%} | {soon} |\n"
