"""What the labels of a version's answers come to over its whole life.

Answers are numbered in the log's order and cut into cohorts of equally many. A cohort is taken once its
youngest answer is as old as labels take, so that quick labels alone never speak for it. A label that comes
later still, or corrects one, is counted where its answer stands, in the tests that counted its cohort: so
what all comes to depends on which cohorts were taken and on what their labels are now, and neither on the
order in which labels came nor on when one looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.monitoring.graded import Graded
from raypipe.monitoring.harm import Budget, HarmState, Release
from raypipe.stats.bets import Bets
from raypipe.stats.course import Course
from raypipe.stats.delays import DelayCurve

MATURE_RATIO = 0.95
"""Of the labels that ever come, so many have come when a cohort is taken."""
WATCHED_AGES = 2.0
"""How many times the age of maturity the oldest watched answer must have, for that age to be trusted: of
younger ones the quick labels alone have come, and the slow ones that ever come are not known of."""
N_SHOWN = 20
"""Cohorts that are kept one by one, the newest; of older ones the sums are."""
MIN_SLICE_ROWS = 30
"""A slice of fewer graded rows is not judged: what it was at release is not known."""
Slice = tuple[str, int]
"""A column, and one of its bins."""
_N_AT_ONE_STEP = 10


@dataclass(frozen=True)
class Change:
    """The loss of an answer in a cohort that was taken, as it was counted and as it is now, in [0, 1].

    None without a label. `places` are the answer's bins of the sliced columns.
    """

    cohort: int
    before: float | None
    now: float | None
    places: Mapping[str, int]


@dataclass(frozen=True)
class TakenCohort:
    """Answers that were taken together; `total_loss` is of the labelled ones."""

    number: int
    last_at_s: float
    """When the youngest was given, in seconds since 1970."""
    n_answers: int
    n_labelled: int = 0
    total_loss: float = 0.0


@dataclass(frozen=True)
class LabelledLife:
    """The evidence and the sums of all cohorts that were taken, one after the other."""

    harm: HarmState = field(default_factory=HarmState)
    slices: Mapping[Slice, HarmState] = field(default_factory=dict)
    n_answers: int = 0
    n_labelled: int = 0
    total_loss: float = 0.0
    mature_after_s: float | None = None
    """The age at which the newest cohort was taken."""
    shown: tuple[TakenCohort, ...] = ()
    course: Course = field(default_factory=Course)
    """How the loss went, cohort by cohort, coarser the longer ago."""

    @property
    def n_cohorts(self) -> int:
        """How many cohorts were taken, which is the number of the next one."""
        return self.harm.tests.n_windows

    def taken(
        self, last_at_s: float, n_answers: int, releases: Mapping[Slice | None, Release], after_s: float
    ) -> LabelledLife:
        """Return the life with the next cohort, whose labels are counted next.

        `releases` are those of slices, and that of all answers under None.
        """
        empty = {key: Bets.none(release.bound) for key, release in releases.items()}
        slices = {
            key: HarmState(self.slices.get(key, HarmState()).tests.after(none))
            for key, none in empty.items()
            if key is not None
        }
        one = TakenCohort(self.n_cohorts, last_at_s, n_answers)
        return replace(
            self,
            harm=HarmState(self.harm.tests.after(empty[None])),
            slices=slices,
            n_answers=self.n_answers + n_answers,
            mature_after_s=after_s,
            shown=(*self.shown, one)[-N_SHOWN:],
            course=self.course.after(n_answers),
        )

    def counted(self, changes: Iterable[Change], releases: Mapping[Slice | None, Release]) -> LabelledLife:
        """Return the life with what became known of answers in cohorts that were taken."""
        life = self
        for number, group in groupby(sorted(changes, key=attrgetter("cohort")), attrgetter("cohort")):
            life = life._counted(number, list(group), releases)
        return life

    def _counted(
        self, number: int, changes: Sequence[Change], releases: Mapping[Slice | None, Release]
    ) -> LabelledLife:
        n, total = _sums(changes)
        return replace(
            self,
            harm=_more(self.harm, number, changes, releases[None]),
            slices={
                key: _more(state, number, [one for one in changes if _is_in(one, key)], releases[key])
                for key, state in self.slices.items()
            },
            n_labelled=self.n_labelled + n,
            total_loss=self.total_loss + total,
            shown=tuple(
                replace(one, n_labelled=one.n_labelled + n, total_loss=one.total_loss + total)
                if one.number == number
                else one
                for one in self.shown
            ),
            course=self.course.with_more(number, n, total),
        )

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The mean loss of all taken answers, were every missing label right, or wrong; None without any."""
        if not self.n_answers:
            return None
        missing = self.n_answers - self.n_labelled
        return self.total_loss / self.n_answers, (self.total_loss + missing) / self.n_answers

    def to_json(self) -> Json:
        return {
            "harm": self.harm.to_json(),
            "slices": [[column, place, state.to_json()] for (column, place), state in self.slices.items()],
            "n_answers": self.n_answers,
            "n_labelled": self.n_labelled,
            "total_loss": self.total_loss,
            "mature_after_s": self.mature_after_s,
            "shown": [
                [one.number, one.last_at_s, one.n_answers, one.n_labelled, one.total_loss]
                for one in self.shown
            ],
            "course": self.course.to_json(),
        }

    @classmethod
    def from_json(cls, value: Json) -> LabelledLife:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {
                "harm": harm,
                "slices": [*slices],
                "n_answers": int(n_answers),
                "n_labelled": int(n_labelled),
                "total_loss": float(total_loss),
                "mature_after_s": float() | None as mature_after_s,
                "shown": [*shown],
                "course": course,
            }:
                return cls(
                    HarmState.from_json(harm),
                    dict(map(_slice, slices)),
                    n_answers,
                    n_labelled,
                    total_loss,
                    mature_after_s,
                    tuple(map(_cohort, shown)),
                    Course.from_json(course),
                )
            case _:
                raise SchemaError(f"A life of labels must have harm, slices, sums. Got {value!r:.200}.")


def mature_age_s(delays: DelayCurve, oldest_age_s: float) -> float | None:
    """Return the age by which nearly all labels that ever come have come; None while that is not known.

    `oldest_age_s` is the age of the oldest answer that the delays are of.

    >>> mature_age_s(DelayCurve((1.0, 3.0), (0.5, 0.6)), 9.0)
    3.0
    """
    age = delays.age_for(MATURE_RATIO)
    return None if age is None or oldest_age_s < WATCHED_AGES * age else age


def watched_cohorts(n_full: int) -> tuple[int, ...]:
    """Return cohorts whose labels tell how long labels take: the newest ten, and ever fewer older ones.

    >>> watched_cohorts(45)
    (44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 11, 7, 3, 0)
    """
    found, at, step = list[int](), n_full - 1, 1
    while at >= 0:
        found.append(at)
        step *= 2 if len(found) % _N_AT_ONE_STEP == 0 else 1
        at -= step
    return tuple(found) if not found or found[-1] == 0 else (*found, 0)


def releases_of(graded: Graded, budget: Budget) -> dict[Slice | None, Release]:
    """Return what is no harm: of all answers under None, and of each slice with enough graded rows.

    Where there are slices, half of the budget is theirs.
    """
    known = [
        ((column, place), n, total)
        for column, bins in graded.slices.items()
        for place, (n, total) in enumerate(bins)
        if n >= MIN_SLICE_ROWS
    ]
    share = budget_share(budget, bool(known))
    found: dict[Slice | None, Release] = {None: graded.release(share)}
    is_wrong = graded.n_wrong is not None
    for key, n, total in known:
        found[key] = Release.of_slice(total, n, share, n_slices=len(known), is_wrong=is_wrong)
    return found


def budget_share(budget: Budget, has_slices: bool) -> Budget:
    """Return the budget of all answers together, and of all slices together."""
    return replace(budget, alpha=budget.alpha / 2) if has_slices else budget


def _sums(changes: Sequence[Change]) -> tuple[int, float]:
    """Return how many more are labelled now, and how much larger the loss is."""
    n = sum((one.now is not None) - (one.before is not None) for one in changes)
    return n, sum((one.now or 0.0) - (one.before or 0.0) for one in changes)


def _more(state: HarmState, number: int, changes: Sequence[Change], release: Release) -> HarmState:
    came = [one.now for one in changes if one.now is not None]
    gone = [one.before for one in changes if one.before is not None]
    if not came and not gone:
        return state
    part = Bets.of(came, release.bound) - Bets.of(gone, release.bound)
    return HarmState(state.tests.with_more(number, part))


def _is_in(one: Change, key: Slice) -> bool:
    column, place = key
    return one.places.get(column) == place


def _slice(value: Json) -> tuple[Slice, HarmState]:
    match value:
        case [str(column), int(place), state]:
            return (column, place), HarmState.from_json(state)
        case _:
            raise SchemaError(f"A slice must have a column, a place and a state. Got {value!r:.200}.")


def _cohort(value: Json) -> TakenCohort:
    match value:
        case [int(number), float(last), int(n), int(n_labelled), float(total)]:
            return TakenCohort(number, last, n, n_labelled, total)
        case _:
            raise SchemaError(f"A cohort must have a number, a time and sums. Got {value!r:.200}.")
