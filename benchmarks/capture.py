"""What capture and monitoring cost the endpoint: its answers with them, and without.

    .venv/bin/python -m benchmarks.capture               # about seven minutes
    .venv/bin/python -m benchmarks.capture --pairs 16

Both endpoints are up at once and asked in turns, first the one and then the other (A B, B A, ...), since a
machine that is shared gives a fifth more or less from one minute to the next. Each turn begins with a load
that is not counted, so that commits and the controller's looks are under way when it counts, and ends with a
pause in which they finish. The cost is one less the ratio of a pair's answers a second, a geometric mean with
its 95% interval (Student). The second table has where the time of the processors goes, which such a machine
changes less: what each process spent for an answer, the load generator and the kernel's own too.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from scipy import stats

from benchmarks.serving import model, ours
from benchmarks.serving.load import Count, ask, median, wrk

CONNECTIONS = 32
WARM_S, PAUSE_S = 6, 7
"""Longer than from one commit to the next."""
HEAD = "| | requests/s | p50 ms | p99 ms | failed |\n|---|---|---|---|---|\n"
SPENT = "\n| CPU microseconds an answer | on | off | more |\n|---|---|---|---|\n"
NAMES = ("capture and monitoring on", "capture off")
PROCESSES: Mapping[str, str] = {
    "ray::ServeReplica": "replica",
    "ray::_ControllerActor": "controller",
    "ray::_CommitterActor": "committer",
}
"""By how a process calls itself; all others are one."""
GENERATOR, OTHERS = "load generator", "all others"


@dataclass(frozen=True)
class Turn:
    """What one endpoint gave, and the CPU seconds that processes spent meanwhile, by what they are."""

    count: Count
    spent_s: Counter[str]


@dataclass(frozen=True)
class Cost:
    """The part of what is given that something takes, with its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, with_it: Sequence[float], without: Sequence[float]) -> Cost:
        """Return the cost by the rates of at least two pairs of turns.

        >>> print(Cost.of([90, 95, 100], [100, 100, 100]))
        5.1% [-8.2%, 16.7%]
        """
        logs = [math.log(one / other) for one, other in zip(with_it, without, strict=True)]
        mean = statistics.fmean(logs)
        error = statistics.stdev(logs) / math.sqrt(len(logs)) * float(stats.t.ppf(0.975, len(logs) - 1))
        return cls(1 - math.exp(mean), 1 - math.exp(mean + error), 1 - math.exp(mean - error))

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


def main() -> None:
    """Ask both endpoints in turns, and print what they gave."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capture", description="What capture costs.")
    parser.add_argument("--pairs", type=int, default=8, help="of turns, at least 2")
    parser.add_argument("--seconds", type=int, default=10, help="that count of each turn")
    parser.add_argument("--port", type=int, default=8000, help="the other one has the next")
    asked = parser.parse_args()
    wrk()
    with (
        ours.endpoint(asked.port) as (captured, _),
        ours.endpoint(asked.port + 1, capture={"enabled": False}) as (uncaptured, _),
        tempfile.TemporaryDirectory(prefix="rp-bodies-") as folder,
    ):
        bodies = model.write_bodies(Path(folder) / "bodies", captured.template, 1)
        urls = captured.url, uncaptured.url
        pairs = [pair(urls, bodies, asked.seconds, turned=bool(n % 2)) for n in range(asked.pairs)]
    sys.stdout.writelines(table(pairs))


def pair(urls: tuple[str, str], bodies: Path, seconds: int, *, turned: bool) -> tuple[Turn, Turn]:
    """Return what both gave, of the first one first; `turned`: the second is asked first."""
    first, second = (turn(url, bodies, seconds) for url in (urls[::-1] if turned else urls))
    return (second, first) if turned else (first, second)


def turn(url: str, bodies: Path, seconds: int) -> Turn:
    """Ask one endpoint, and wait until what it was asked is committed and looked at."""
    ask(url, bodies, CONNECTIONS, WARM_S)
    before, generated_s = spent_s(), _children_s()
    count = ask(url, bodies, CONNECTIONS, seconds)
    since = Counter({process: spent - before.get(process, 0.0) for process, spent in spent_s().items()})
    spent = Counter({GENERATOR: _children_s() - generated_s})
    for (_, name), more in since.items():
        spent[name] += more
    time.sleep(PAUSE_S)
    return Turn(count, spent)


def spent_s() -> Mapping[tuple[int, str], float]:
    """Return the CPU seconds of each process that runs, the kernel's too, by its id and what it is."""
    found = {}
    for process in psutil.process_iter(["pid", "name", "cmdline", "cpu_times"]):
        about = process.info
        if about["cpu_times"] is not None:
            said = " ".join(about["cmdline"] or [about["name"]])
            name = next((name for start, name in PROCESSES.items() if said.startswith(start)), OTHERS)
            found[about["pid"], name] = about["cpu_times"].user + about["cpu_times"].system
    return found


def _children_s() -> float:
    """Return the CPU seconds of processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def table(pairs: Sequence[tuple[Turn, Turn]]) -> Iterator[str]:
    """Yield the medians of both, what that comes to, and where the CPUs' time went."""
    yield HEAD
    of_both = list(zip(*pairs, strict=True))
    for name, turns in zip(NAMES, of_both, strict=True):
        count = median([one.count for one in turns])
        latencies = f"{count.p50_us / 1e3:.2f} | {count.p99_us / 1e3:.2f}"
        yield f"| {name} | {count.rate:,.0f} | {latencies} | {count.failed} |\n"
    cost = Cost.of(*([one.count.rate for one in turns] for turns in of_both))
    yield f"\ncost: {cost} of the answers a second, {len(pairs)} pairs of turns\n"
    yield SPENT
    on, off = (_by_answer(turns) for turns in of_both)
    for name in (*PROCESSES.values(), GENERATOR, OTHERS):
        yield f"| {name} | {on[name]:.1f} | {off[name]:.1f} | {on[name] - off[name]:.1f} |\n"
    more = on.total() - off.total()
    yield f"| all | {on.total():.1f} | {off.total():.1f} | {more:.1f}, {more / on.total():.1%} |\n"


def _by_answer(turns: Sequence[Turn]) -> Counter[str]:
    """Return the microseconds of each kind of process for an answer, over all turns."""
    n = sum(one.count.requests - one.count.failed for one in turns)
    return Counter(
        {
            name: 1e6 * sum(one.spent_s[name] for one in turns) / n
            for name in (*PROCESSES.values(), GENERATOR, OTHERS)
        }
    )


if __name__ == "__main__":
    main()
