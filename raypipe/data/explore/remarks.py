"""What is worth a look in a column, each with the sentence that says why; from the profile alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from raypipe.data.explore import spelling
from raypipe.data.profile import ColumnProfile

Topic = Literal[
    "empty",
    "constant",
    "missing",
    "missing?",
    "unique",
    "one value",
    "skewed",
    "far",
    "infinite",
    "spelling",
    "rare",
]
TOPICS: tuple[Topic, ...] = get_args(Topic)
MEANING: dict[Topic, str] = {
    "empty": "no row has a value",
    "constant": "nothing can be learned from one value",
    "missing": "a fifth of the rows or more have no value",
    "missing?": "texts that may stand for a missing value",
    "unique": "nearly every row has a value of its own: an identifier?",
    "one value": "19 of 20 rows or more hold the same value",
    "skewed": "a long tail on one side: a log transform, or clipping, may help",
    "far": "single values far from all others: clip them, or give the contract a rule",
    "infinite": "numbers that are not finite",
    "spelling": "values that differ only in case or blanks",
    "rare": "a class of the label that few rows have",
}
MANY_MISSING = 0.2
NEARLY_ALL = 0.95
UNIQUE_RATIO, UNIQUE_MIN_ROWS = 0.9, 20
TAIL_RATIO = 5.0
"""The median is so many times as far from the one end of the middle 98% as from the other."""
FAR_RATIO = 10.0
"""An end lies so many times the width of the middle 98% beyond it."""
RARE_CLASS = 0.01
N_NAMED = 3
_WORDS = frozenset(
    {"", "?", "-", "--", "na", "n/a", "n.a.", "nan", "nil", "none", "null", "missing", "unknown"}
)


@dataclass(frozen=True)
class Remark:
    """A topic, and what there is to say of this column."""

    topic: Topic
    text: str


def remarks_on(profile: ColumnProfile, *, is_label: bool = False) -> tuple[Remark, ...]:
    """Return what is worth a look, in the order of `TOPICS`."""
    n_present = profile.n_rows - profile.n_missing
    if not n_present:
        return (Remark("empty", "no row has a value"),)
    found = [*_of_all(profile, n_present, is_label), *_of_numbers(profile), *_of_texts(profile)]
    return tuple(sorted(found, key=lambda one: TOPICS.index(one.topic)))


def _of_all(profile: ColumnProfile, n_present: int, is_label: bool) -> Iterator[Remark]:
    counted, n_rows = profile.counted, profile.n_rows
    if profile.n_missing >= MANY_MISSING * n_rows:
        yield Remark("missing", f"{spelling.share(profile.n_missing, n_rows)} of the rows have no value")
    if counted is None or not counted.counts:
        return
    (first, n_first), *_ = counted.top(1)
    named = spelling.value(first, profile.column.kind)
    if profile.n_distinct == 1 and not profile.n_infinite:
        beside = ", beside missing ones" if profile.n_missing else ""
        yield Remark("constant", f"the only value is {named}{beside}")
    elif n_first >= NEARLY_ALL * n_present and counted.is_exact:
        yield Remark("one value", f"{spelling.share(n_first, n_present)} of the values are {named}")
    kind = profile.column.kind
    enough = kind in ("category", "integer") and n_present >= UNIQUE_MIN_ROWS
    if enough and profile.n_distinct > UNIQUE_RATIO * n_present:
        about = "" if counted.is_exact else "about "
        yield Remark("unique", f"{about}{profile.n_distinct:,} distinct values in {n_present:,} rows")
    if is_label and kind != "number" and counted.is_exact and profile.n_distinct > 1:
        rarest, n_rarest = min(counted.sorted_items(), key=lambda pair: pair[1])
        if n_rarest < RARE_CLASS * n_present:
            told = f"{spelling.value(rarest, kind)} has {n_rarest:,} of {n_present:,} rows"
            yield Remark("rare", f"the label {told}")


def _of_numbers(profile: ColumnProfile) -> Iterator[Remark]:
    if profile.n_infinite:
        yield Remark("infinite", f"{profile.n_infinite:,} values are infinite")
    kind = profile.column.kind
    if kind not in ("number", "integer") or profile.sketch is None or not profile.moments.n:
        return
    ends = (profile.min, *(profile.quantile(q) for q in (0.01, 0.5, 0.99)), profile.max)
    low, first, median, last, high = (0.0 if end is None else end for end in ends)
    left, right, width = median - first, last - median, last - first
    if min(left, right) > 0 and max(left, right) > TAIL_RATIO * min(left, right):
        side = "right" if right > left else "left"
        middle = (
            f"from {_spelled(first, profile)} over {_spelled(median, profile)} to {_spelled(last, profile)}"
        )
        yield Remark("skewed", f"long tail to the {side}: the middle 98% goes {middle}")
    far = [end for end, beyond in ((low, first - low), (high, high - last)) if beyond > FAR_RATIO * width > 0]
    if far:
        told = " and ".join(_spelled(end, profile) for end in far)
        middle = f"{_spelled(first, profile)} to {_spelled(last, profile)}"
        yield Remark("far", f"{told}, where 98% lie within {middle}")


def _of_texts(profile: ColumnProfile) -> Iterator[Remark]:
    if profile.column.kind != "category" or profile.counted is None:
        return
    texts = [(text, n) for text, n in profile.counted.sorted_items() if isinstance(text, str)]
    words = [(text, n) for text, n in texts if text.strip().casefold() in _WORDS]
    if words:
        told = ", ".join(f"{_quoted(text)} ({n:,})" for text, n in words[:N_NAMED])
        yield Remark("missing?", f"rows that say {told}")
    alike: dict[str, list[str]] = defaultdict(list)
    for text, _ in texts:
        alike[" ".join(text.split()).casefold()].append(text)
    twins = [same for same in alike.values() if len(same) > 1]
    if twins:
        told = "; ".join(" and ".join(map(_quoted, same[:N_NAMED])) for same in twins[:N_NAMED])
        more = f"; {len(twins) - N_NAMED:,} more" if len(twins) > N_NAMED else ""
        yield Remark("spelling", f"{told}{more}")


def _spelled(end: float, profile: ColumnProfile) -> str:
    return spelling.amount(end, profile.column.kind)


def _quoted(text: str) -> str:
    return f"“{spelling.value(text, 'category')}”"
