"""The part of the fold that keeps, for each version, what all that it ever answered comes to."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from raypipe.monitoring import fold_statements as sql
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.labelled_life import Change, LabelledLife, mature_age_s, watched_cohorts
from raypipe.monitoring.life import Life
from raypipe.monitoring.watch import Watch
from raypipe.stats.delays import DelayCurve

if TYPE_CHECKING:
    import pyarrow as pa

Watches: TypeAlias = Callable[[str], Watch | None]
"""What each version is compared with; None where that cannot be told any more."""


@dataclass(frozen=True)
class Lives:
    """A version's answers, as they were counted: all of them, and those that have waited for their labels."""

    n_answers: int = 0
    counts: Life = field(default_factory=Life)
    labels: LabelledLife = field(default_factory=LabelledLife)


def no_watches(version: str) -> None:
    """Know of no version: nothing is counted."""


def read_lives(session: sqlite3.Connection, version: str) -> Lives:
    """Return what a version's answers come to."""
    found = session.execute(sql.READ_LIFE, (version,)).fetchone()
    if found is None:
        return Lives()
    n_answers, counts, labels = found
    return Lives(n_answers, Life.from_json(json.loads(counts)), LabelledLife.from_json(json.loads(labels)))


def keep_lives(session: sqlite3.Connection, version: str, lives: Lives) -> None:
    """Keep what a version's answers come to."""
    counts, labels = (json.dumps(one.to_json()) for one in (lives.counts, lives.labels))
    session.execute(sql.KEEP_LIFE, (version, lives.n_answers, counts, labels))


def take_labels(
    session: sqlite3.Connection, version: str, watch: Watch, settings: MonitoringSettings, now_s: float
) -> None:
    """Take the cohorts of a version that are mature by now, and what became known of earlier ones."""
    releases = watch.releases(settings)
    before = lives = read_lives(session, version)
    if not releases:
        return
    losses = _Losses(session, version, watch, settings)
    labels = lives.labels.counted(losses.stale(lives.labels.n_cohorts), releases)
    for last_at_s, n_answers, after_s in _mature(session, version, lives, settings, now_s):
        cohort = labels.n_cohorts
        labels = labels.taken(last_at_s, n_answers, releases, after_s)
        labels = labels.counted(losses.of(cohort), releases)
    lives = replace(lives, labels=labels)
    if lives != before:
        keep_lives(session, version, lives)


def _mature(
    session: sqlite3.Connection, version: str, lives: Lives, settings: MonitoringSettings, now_s: float
) -> Iterator[tuple[float, int, float]]:
    """Yield of each cohort that is mature when its youngest answer was given, its answers, and the age."""
    n_full = lives.n_answers // settings.harm.cohort_rows
    if lives.labels.n_cohorts >= n_full:
        return
    after_s = _mature_after_s(settings, delays_of(session, version, n_full, now_s))
    if after_s is None:
        return
    for cohort in range(lives.labels.n_cohorts, n_full):
        last_at_s, n_answers = _cohort(session, version, cohort)
        if now_s < last_at_s + after_s:
            return
        yield last_at_s, n_answers, after_s


def ripe_at_s(
    session: sqlite3.Connection,
    version: str,
    lives: Lives,
    settings: MonitoringSettings,
    delays: Delays,
) -> float | None:
    """Return when the next cohort will be mature; None where none is full, or that is not known."""
    after_s = _mature_after_s(settings, delays)
    cohort = lives.labels.n_cohorts
    if after_s is None or cohort >= lives.n_answers // settings.harm.cohort_rows:
        return None
    return _cohort(session, version, cohort)[0] + after_s


def _cohort(session: sqlite3.Connection, version: str, cohort: int) -> tuple[float, int]:
    """Return when the youngest answer of a cohort was given, in seconds since 1970, and how many it has."""
    last_at, n = session.execute(sql.COHORT, {"version": version, "cohort": cohort}).fetchone()
    return (last_at or 0) / 1e6, n


def _mature_after_s(settings: MonitoringSettings, delays: Delays) -> float | None:
    given = settings.harm.mature_after_s
    return mature_age_s(delays.curve, delays.oldest_age_s) if given is None else given


@dataclass(frozen=True)
class Delays:
    """How long labels take, as some answers show it, the oldest of which has that age."""

    curve: DelayCurve = field(default_factory=DelayCurve)
    oldest_age_s: float = 0.0


def delays_of(session: sqlite3.Connection, version: str, n_full: int, now_s: float) -> Delays:
    """Return how long the labels of a version's answers take, most of them of the newest cohorts."""
    import numpy as np

    rows = [
        row
        for cohort in (n_full, *watched_cohorts(n_full))
        for row in session.execute(sql.WAITED, {"version": version, "cohort": cohort})
        if row[0] is not None
    ]
    if not rows:
        return Delays()
    at = np.array([row[0] for row in rows], np.float64) / 1e6
    label_at = np.array([np.nan if row[1] is None else row[1] for row in rows], np.float64) / 1e6
    ages = np.maximum(now_s - at, 0.0)
    # A label that came before the last answer took no time.
    return Delays(DelayCurve.of(np.maximum(label_at - at, 0.0), ages), float(ages.max()))


@dataclass(frozen=True)
class _Losses:
    """Reads what labels say of answers, and notes that it was counted."""

    session: sqlite3.Connection
    version: str
    watch: Watch
    settings: MonitoringSettings

    def of(self, cohort: int) -> list[Change]:
        """Return the labelled answers of a cohort."""
        return self._read(sql.COHORT_LABELS, cohort)

    def stale(self, n_cohorts: int) -> list[Change]:
        """Return what is not as it was counted in any cohort before."""
        return self._read(sql.STALE, n_cohorts)

    def _read(self, statement: str, cohort: int) -> list[Change]:
        rows = self.session.execute(statement, {"version": self.version, "cohort": cohort}).fetchall()
        if not rows:
            return []
        losses = self._losses(rows)
        self.session.executemany(
            sql.COUNTED_LOSS, [(now, row[0]) for row, now in zip(rows, losses, strict=True)]
        )
        names = [one.column.name for one in self.watch.sliced.columns]
        return [
            Change(row[1], row[6], now, dict(zip(names, json.loads(row[5] or "[]"), strict=False)))
            for row, now in zip(rows, losses, strict=True)
            if row[6] != now
        ]

    def _losses(self, rows: Sequence[tuple[Any, ...]]) -> list[float | None]:
        from raypipe.monitoring.quality import row_losses

        release = self.watch.releases(self.settings)[None]
        labelled = [row for row in rows if row[4] is not None]
        found = iter(
            row_losses(_table(labelled), self.watch.task, release.ranks).tolist() if labelled else ()
        )
        known = (None if row[4] is None else next(found) for row in rows)
        return [None if one != one else one for one in known]


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    _, _, predictions, given, labels, _, _ = zip(*rows, strict=True)
    probabilities = [None if one is None else array("d", one).tolist() for one in given]
    return pa.table(
        {
            "prediction": pa.array(predictions, pa.string()),
            "probabilities": pa.array(probabilities, pa.list_(pa.float64())),
            "label": pa.array(labels, pa.string()),
        }
    )
