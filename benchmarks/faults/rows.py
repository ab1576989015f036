"""One fault, tried a few times: what is measured of it, and its line of the table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.audit import Books, captured, check_decisions, check_release, compare_log, is_moved
from benchmarks.faults.load import Load, level_before, longest_gap_s, normal_at
from benchmarks.faults.place import Place, wait_for
from benchmarks.faults.strikes import Fault, has_ended

WARM_S, AFTER_S, WORKS_LIMIT_S = 4.0, 3.0, 40.0
COLUMNS = (
    "kill -9 of",
    "tries",
    "sent",
    "failed",
    "longest gap s",
    "answers/s before",
    "s to normal",
    "answers not once in the log",
    "rows beyond the answers",
    "decisions doubled, lost",
    "half-released",
    "alerts untold",
    "struck after",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


@dataclass
class Measured:
    """What the tries of one fault came to."""

    name: str
    sent: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    gaps_s: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    normal_s: list[float | None] = field(default_factory=list)
    books: Books = field(default_factory=Books)
    struck_after: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """Return the line of the table."""
        normal = ", ".join("never" if one is None else f"{one:.1f}" for one in self.normal_s) or "-"
        struck = ", ".join(f"{kind} {n}" for kind, n in self.struck_after.items()) or "-"
        cells = (
            self.name,
            str(len(self.gaps_s)),
            f"{self.sent:,}",
            _failed(self.failures),
            f"{max(self.gaps_s):.2f}",
            f"{min(self.levels):,.0f}" if self.levels else "-",
            normal,
            str(self.books.not_once),
            str(self.books.unheard),
            f"{self.books.doubled}, {self.books.lost}",
            str(self.books.half_released),
            str(self.books.untold),
            struck,
        )
        return f"| {' | '.join(cells)} |\n"


def measure(place: Place, fault: Fault, n_tries: int) -> Measured:
    """Strike a few times, each under a load of its own."""
    found = Measured(fault.name)
    for attempt in range(n_tries):
        _try(place, fault, attempt, found)
    return found


def _try(place: Place, fault: Fault, attempt: int, found: Measured) -> None:
    if fault.retrains:
        place.change_concept()
    settle(place)
    before, after_seq, load = captured(place), place.last_seq(), place.load()
    load.start()
    try:
        time.sleep(WARM_S)
        strike = fault.strike(place, attempt)
        works_at = when(strike.works)
        if fault.retrains:
            wait_for(lambda: has_ended(place, after_seq), "end of the decision")
        time.sleep(AFTER_S)
    finally:
        load.stop()
    add_load(found, load)
    normal = None if works_at is None else normal_at(load.times, strike.at, works_at)
    found.levels.append(level_before(load.times, strike.at))
    found.normal_s.append(None if normal is None else normal - strike.at)
    found.books += audit(place, before, after_seq, load.ids)
    if fault.retrains:
        found.struck_after[struck_after(place, after_seq)] += 1


def add_load(found: Measured, load: Load) -> None:
    """Count the requests of a load."""
    found.sent += load.n_sent
    found.failures += load.failures
    found.gaps_s.append(longest_gap_s(load.times))


def audit(
    place: Place, before: Counter[str], after_seq: int, ids: Sequence[str], *, n_others: int = 0
) -> Books:
    """Return what does not add up since a moment, once the committer has moved all that was captured.

    `n_others` counts the rows that somebody else had answered.
    """
    settle(place)
    name = place.config.name
    runs = Counter(version.run for version in place.registry.model_versions(name))
    moves = place.registry.alias_history(name, "champion")
    # A canary's steps give the champion's place to the champion.
    releases = Counter(one.version for one in moves if one.previous != one.version)
    decisions = check_decisions(place.facts(after_seq), runs, releases)
    return compare_log(before, captured(place), ids, n_others) + decisions + check_release(place)


def settle(place: Place) -> None:
    """Wait until nothing captured is left to move."""
    wait_for(lambda: is_moved(place.config.folder), "empty log", every_s=0.5)


def when(works: Callable[[], bool]) -> float | None:
    """Wait until something works; return when it did, None where it did not in time."""
    deadline = time.monotonic() + WORKS_LIMIT_S
    while time.monotonic() < deadline:
        if works():
            return time.monotonic()
        time.sleep(0.05)
    return None


def _failed(failures: Counter[str]) -> str:
    told = ", ".join(f"{n} {reason}" for reason, n in failures.items())
    return f"{failures.total()} ({told})" if told else "0"


def struck_after(place: Place, after_seq: int) -> str:
    """Return the kind of the last entry about a retrain before another controller announced itself."""
    entries = [one for one in reversed(place.registry.history(place.config.name, 200)) if one.seq > after_seq]
    last = "nothing"
    for entry in entries:
        if entry.kind in ("event.controller_started", "event.retrain_failed"):
            return last
        if "alert" not in entry.kind:
            last = entry.kind.removeprefix("event.")
    return "not struck"
