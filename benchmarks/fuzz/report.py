"""What a fuzz run came to: answers by kind, what must not be, and whether the log holds what was answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from benchmarks.fuzz.kinds import Target, requests
from benchmarks.fuzz.wire import Came, send


@dataclass
class Report:
    """Counts of answers by kind and status, and the ids of all answered predictions."""

    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    broken: list[Came] = field(default_factory=list)
    """Answers of 5xx, connections that were lost, refusals without a sentence."""
    ids: Counter[str] = field(default_factory=Counter)

    def take(self, came: Came) -> None:
        """Count one answer."""
        shown = "left" if came.asked.cut else str(came.status or "lost")
        self.by_kind.setdefault(came.asked.kind, Counter())[shown] += 1
        if not came.asked.cut and not _is_well(came):
            self.broken.append(came)
        self.ids.update(_predicted(came))

    def lines(self) -> Iterator[str]:
        """Yield the counts as a table in Markdown."""
        yield "| kind | sent | answered |"
        yield "|---|---|---|"
        for kind, counts in sorted(self.by_kind.items()):
            told = ", ".join(f"{status}: {n:,}" for status, n in sorted(counts.items()))
            yield f"| {kind} | {counts.total():,} | {told} |"
        total: Counter[str] = sum(self.by_kind.values(), Counter())
        told = ", ".join(f"{status}: {n:,}" for status, n in sorted(total.items()))
        yield f"| all | {total.total():,} | {told} |"


def run(host: str, port: int, target: Target, *, n: int, seed: int, n_threads: int = 8) -> Report:
    """Send `n` requests of all kinds from several threads, and return what came back."""
    report = Report()
    with ThreadPoolExecutor(n_threads) as pool:
        for came in pool.map(lambda one: send(host, port, one), requests(Random(seed), target, n)):
            report.take(came)
    return report


def differences(answered: Counter[str], kept: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Return the answers that the log lacks, and the rows of the log that nobody was answered."""
    found = Counter(kept)
    return answered - found, found - answered


def _is_well(came: Came) -> bool:
    if came.status is None or came.status >= 500:
        return False
    if came.status < 400 or came.asked.method == "HEAD" or came.status == 422:
        return True
    try:
        told = json.loads(came.body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return _is_the_servers(came)
    return isinstance(told, str) and len(told) > 0 and "\n" not in told


def _is_the_servers(came: Came) -> bool:
    """Whether Serve or HAProxy refused what is no request of the endpoint's."""
    return came.asked.kind in ("other path or method", "no HTTP")


def _predicted(came: Came) -> list[str]:
    if came.status != 200 or came.asked.method != "POST" or not came.asked.path.endswith("/predict"):
        return []
    return [one["id"] for one in json.loads(came.body)["predictions"] if "error" not in one]
