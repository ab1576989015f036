"""Retrains as processes that outlive the controller that started them, one a decision."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from benchmarks.kills.place import Place, course_of
from raypipe.control.outcome import Retrained, read_result, write_result
from raypipe.control.ports import JobState
from raypipe.data.locks import try_lock
from raypipe.training.compare import Comparison

LONGEST_S = 0.03
START_LIMIT_S = 10.0


class ProcessJobs:
    """Starts each decision's job once, and finds it again by its mark, as a cluster does by its id."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._marks = place.root / "jobs"
        self._marks.mkdir(exist_ok=True)

    def submit(self, decision: str) -> None:
        if self.state(decision) != "unknown":
            return
        _detach(self._place, self._marks / decision, decision)
        deadline = time.monotonic() + START_LIMIT_S
        while self.state(decision) == "unknown":
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job {decision} did not start")
            time.sleep(0.001)

    def state(self, decision: str) -> JobState:
        mark = self._marks / decision
        if not mark.exists():
            return "unknown"
        held = try_lock(mark)
        if held is None:
            return "running"
        os.close(held)
        return "succeeded" if self.result(decision) is not None else "failed"

    def stop(self, decision: str) -> None:
        raise RuntimeError(f"nothing asks to stop {decision}: no job hangs")

    def result(self, decision: str) -> Retrained | None:
        return read_result(self._place.folder, decision)


def _detach(place: Place, mark: Path, decision: str) -> None:
    """Run a job in a process whose parent is nobody who could take it along."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _run(Place(place.root, place.webhook), mark, decision)
    finally:
        os._exit(0)


def _run(place: Place, mark: Path, decision: str) -> None:
    """Be the job of a decision, unless there is one: train for a moment, register, and leave the result."""
    unnamed = mark.with_name(f".{mark.name}.{os.getpid()}")
    held = try_lock(unnamed)
    try:
        os.link(unnamed, mark)  # It is locked from its first moment, and only one can have the name.
    except FileExistsError:
        return
    finally:
        unnamed.unlink()
    with place.jobs.open("a") as log:
        log.write(f"{decision}\n")
    chance = random.Random(decision)
    time.sleep(chance.uniform(0, LONGEST_S))
    champion = place.registry.alias(place.folder.name, "champion") or ""
    version = place.register(decision).version
    gain = -0.2 if course_of(decision) == "worse" else 0.2
    compared = Comparison("auc", champion, version, 400, 0.6, 0.6 + gain, gain, gain - 0.1, gain + 0.1)
    write_result(place.folder, decision, Retrained(version, "d-1", "d-1", "none", {}, 1.0, compared))
    assert held is not None
    os.close(held)
