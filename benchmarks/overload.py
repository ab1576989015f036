"""What more load than the endpoint can take does to its clients: usual load, ten times as much, usual again.

    .venv/bin/python -m benchmarks.overload               # about a minute and a half
    .venv/bin/python -m benchmarks.overload --seconds 10

Each connection asks again as soon as it is answered, also after a refusal, whose Retry-After it does not
obey: the worst of clients. Latencies are of the requests that were answered with 200. The peer of the ten
times as many connections is the usual load in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

from benchmarks.serving import model, ours
from benchmarks.serving.asking import Asked, Asking

USUAL, TIMES = 32, 10
USUAL_S, WARM_S = 10.0, 1.0
COLUMNS = (
    "connections",
    "answered",
    "429 with Retry-After",
    "lost or other",
    "answers/s",
    "p50 ms",
    "p99 ms",
    "slowest ms",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


def main() -> None:
    """Ask in three phases, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description="Ten times the load.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of ten times the load")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args()
    with ours.endpoint(asked.port) as (server, _):
        body = model.body(server.template, 1)
        sys.stdout.write(HEAD)
        for n_connections, seconds in ((USUAL, USUAL_S), (USUAL * TIMES, asked.seconds), (USUAL, USUAL_S)):
            answers = ask(server.url, body, n_connections, seconds)
            sys.stdout.write(line(n_connections, answers, seconds))
            sys.stdout.flush()


def ask(url: str, body: bytes, n_connections: int, seconds: float) -> Sequence[Asked]:
    """Return what was answered in so many seconds, after a second to warm up."""
    load = Asking(url, body, n_connections)
    load.start()
    try:
        time.sleep(WARM_S)
        load.answers.clear()
        time.sleep(seconds)
        return list(load.answers)
    finally:
        load.stop()


def line(n_connections: int, answers: Sequence[Asked], seconds: float) -> str:
    """Return a line of the table."""
    counts = Counter(one.status if one.may_be_sent_again or one.status == 200 else 0 for one in answers)
    took_ms = [(one.answered - one.sent) * 1e3 for one in answers if one.status == 200]
    cuts = statistics.quantiles(took_ms, n=100)
    cells = (
        n_connections,
        f"{counts[200]:,}",
        f"{counts[429]:,}",
        counts[0],
        f"{counts[200] / seconds:,.0f}",
        f"{cuts[49]:.1f}",
        f"{cuts[98]:.1f}",
        f"{max(took_ms):.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    main()
