"""What more load than the endpoint can take does to its clients: usual load, ten times as much, usual again.

    .venv/bin/python -m benchmarks.overload               # about two minutes
    .venv/bin/python -m benchmarks.overload --seconds 10 --max-sustained 256

Ten times the load comes once from clients that wait for as long as a refusal says before they ask again, and
once, for a quarter of the time, from such as ask again at once, the worst there are. Latencies are of the
requests that were answered with 200. The peer is the usual load in the same run.
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
    "refused ones",
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
    parser.add_argument("--max-sustained", type=int, default=None, help="serving.max_sustained_requests")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args()
    most = asked.max_sustained
    with ours.endpoint(asked.port, **({} if most is None else {"max_sustained_requests": most})) as (
        server,
        _,
    ):
        body = model.body(server.template, 1)
        sys.stdout.write(HEAD)
        for n_connections, patient, seconds in (
            (USUAL, True, USUAL_S),
            (USUAL * TIMES, True, asked.seconds),
            (USUAL * TIMES, False, asked.seconds / 4),
            (USUAL, True, USUAL_S),
        ):
            answers = ask(server.url, body, n_connections, seconds, patient=patient)
            sys.stdout.write(line(n_connections, answers, seconds, patient=patient))
            sys.stdout.flush()


def ask(url: str, body: bytes, n_connections: int, seconds: float, *, patient: bool) -> Sequence[Asked]:
    """Return what was answered in so many seconds, after a second to warm up."""
    load = Asking(url, body, n_connections, patient=patient)
    load.start()
    try:
        time.sleep(WARM_S)
        load.answers.clear()
        time.sleep(seconds)
        return list(load.answers)
    finally:
        load.stop()


def line(n_connections: int, answers: Sequence[Asked], seconds: float, *, patient: bool) -> str:
    """Return a line of the table."""
    counts = Counter(one.status if one.again_in_s or one.status == 200 else 0 for one in answers)
    took_ms = [(one.answered - one.sent) * 1e3 for one in answers if one.status == 200]
    cuts = statistics.quantiles(took_ms, n=100)
    cells = (
        n_connections,
        "wait" if patient else "ask at once",
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
