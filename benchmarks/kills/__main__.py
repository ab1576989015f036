"""The driver: it lets controllers live for a moment each, and closes the books."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.kills.books import Books, close
from benchmarks.kills.life import go_back, live
from benchmarks.kills.place import NAME, Place
from benchmarks.webhook import webhook
from raypipe.control.events import RetrainDecided
from raypipe.control.ledger import read_facts
from raypipe.control.people import read_state
from raypipe.control.state import Watching

LONGEST_LIFE_S, LONGEST_ROLLBACK_S, LIMIT_S = 0.6, 0.02, 60.0
EVERY = 10
"""After each tenth kill of the controller a person's rollback is killed too."""


@dataclass(frozen=True)
class Killed:
    """What the kills struck, by the controller's phase, and the books after all of them."""

    n_kills: int
    struck: Counter[str]
    n_rollbacks: int
    books: Books


def main() -> None:
    """Kill as often as asked for, and tell; the exit code is 1 where the books do not add up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description="kill -9 at any moment.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rp-kills-") as root:
        found = kill(Path(root), asked.kills, asked.seed)
    books = found.books
    lines = (
        f"{found.n_kills} kills of the controller: {told(found.struck)}",
        f"{found.n_rollbacks} kills of a rollback",
        f"{books.endings.total()} decisions: {told(books.endings)}; {books.n_facts} facts",
        f"{books.n_alerts} alerts, each at the webhook, {books.n_repeated} more than once",
        *(f"WRONG: {one}" for one in books.wrong),
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(books.wrong))


def kill(root: Path, n_kills: int, seed: int = 0, longest_s: float = LONGEST_LIFE_S) -> Killed:
    """Kill a controller at random moments, let the last one end what is under way, and close the books."""
    chance, struck, n_rollbacks = random.Random(seed), Counter[str](), 0
    with webhook() as (url, counts):
        place = Place(root, url)
        place.releases().release(place.register("first").version, expected=None, reason="the first")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.kills.life", "scipy.special"])
        for n in range(1, n_kills + 1):
            _lived(context, place, chance.uniform(0, longest_s))
            struck[type(read_state(place.registry, NAME).phase).__name__] += 1
            n_rollbacks += n % EVERY == 0 and _went_back(context, place, chance)
        last = context.Process(target=live, args=(root, url))
        last.start()
        try:
            _end(place)
        finally:
            _strike(last)
        return Killed(n_kills, struck, n_rollbacks, close(place, counts, n_rollbacks))


def told(counts: Counter[str]) -> str:
    """Return counts as words, the largest first."""
    return ", ".join(f"{n} {name}" for name, n in counts.most_common())


def _lived(context: ForkServerContext, place: Place, life_s: float) -> None:
    """Let a controller live for so long from its first moment on, and kill it."""
    n_before = _n_epochs(place)
    process = context.Process(target=live, args=(place.root, place.webhook))
    process.start()
    deadline = time.monotonic() + LIMIT_S
    while _n_epochs(place) == n_before and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(life_s)
    _strike(process)


def _went_back(context: ForkServerContext, place: Place, chance: random.Random) -> bool:
    """Kill a person's rollback in its midst; return whether there was a version to go back to."""
    champion, way_back = place.registry.alias(NAME, "champion"), place.releases().way_back()
    if champion is None or way_back is None:
        return False
    process = context.Process(target=go_back, args=(place.root, champion))
    process.start()
    time.sleep(chance.uniform(0, LONGEST_ROLLBACK_S))
    _strike(process)
    return True


def _strike(process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()


def _end(place: Place) -> None:
    """Wait until the decision under way has its end, and nothing is left to tell."""
    place.end()
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        state = read_state(place.registry, NAME)
        is_over = isinstance(state.phase, Watching) and state.exposed is None and not state.unsent
        if is_over and any(isinstance(fact, RetrainDecided) for _, fact in read_facts(place.registry, NAME)):
            return
        time.sleep(0.05)


def _n_epochs(place: Place) -> int:
    return place.registry.epoch(NAME)


if __name__ == "__main__":
    main()
