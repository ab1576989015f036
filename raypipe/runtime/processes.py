"""Knowing and ending processes: those recorded, their descendants, and those that carry a cluster's mark."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

import psutil

from raypipe.runtime.environment import MARK
from raypipe.runtime.state import ProcessId

_CLOCK_TOLERANCE_S = 1.0


def identify(pid: int) -> ProcessId:
    """Return the identity of a running process."""
    process = psutil.Process(pid)
    return ProcessId(process.name(), pid, process.create_time())


def tree(head: int) -> tuple[ProcessId, ...]:
    """Return a process and all of its descendants, itself first."""
    processes = [psutil.Process(head), *psutil.Process(head).children(recursive=True)]
    return tuple(_identity(process) for process in processes if _runs(process))


def is_alive(recorded: ProcessId, mark: str = "") -> bool:
    """Say whether a recorded process still runs, and not another one under its number."""
    return _find(recorded, mark) is not None


def end(recorded: Sequence[ProcessId], mark: str, *, grace_s: float = 5.0) -> tuple[ProcessId, ...]:
    """End recorded processes, their descendants, and every process that carries `mark`; return what is left.

    The first recorded one, the head, is asked first, since it ends the others in order; then the rest is
    asked, then killed.
    """
    head = [found for process in recorded[:1] if (found := _find(process, mark))]
    family = _family(recorded, mark)
    _signal(head, kill=False)
    _gone(family, grace_s if head else 0.0)
    for kill in (False, True, True):
        rest = _merged(family, _family(recorded, mark))
        if not any(_runs(process) for process in rest):
            return ()
        _signal(rest, kill=kill)
        _gone(rest, 2.0)
    return tuple(_identity(process) for process in _merged(family, _family(recorded, mark)) if _runs(process))


def marked(mark: str) -> list[psutil.Process]:
    """Return the running processes, but this one, whose environment carries a cluster's mark."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _runs(process) and _mark(process) == mark
    ]


def _family(recorded: Sequence[ProcessId], mark: str) -> list[psutil.Process]:
    found = [process for identity in recorded if (process := _find(identity, mark))]
    below = [child for process in found for child in _children(process)]
    return [p for p in _merged(found, below, marked(mark)) if p.pid != os.getpid()]


def _merged(*groups: Iterable[psutil.Process]) -> list[psutil.Process]:
    return list(dict.fromkeys(process for group in groups for process in group))


def _find(recorded: ProcessId, mark: str) -> psutil.Process | None:
    try:
        process = psutil.Process(recorded.pid)
        same = abs(process.create_time() - recorded.created_at_s) < _CLOCK_TOLERANCE_S
    except psutil.Error:
        return None
    # The time of creation follows from the clock, which may have been set since; the mark does not.
    same = same or (mark != "" and _mark(process) == mark)
    return process if same and _runs(process) else None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _identity(process: psutil.Process) -> ProcessId:
    try:
        return ProcessId(process.name(), process.pid, process.create_time())
    except psutil.Error:
        return ProcessId("gone", process.pid, 0.0)


def _signal(processes: Iterable[psutil.Process], *, kill: bool) -> None:
    for process in processes:
        try:
            process.kill() if kill else process.terminate()
        except psutil.NoSuchProcess:
            continue


def _gone(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    """Wait until none of the processes runs, or the time is over."""
    deadline = time.monotonic() + timeout_s
    waiting = list(processes)
    while waiting and time.monotonic() < deadline:
        _, alive = psutil.wait_procs(waiting, timeout=0.05)
        waiting = [process for process in alive if _runs(process)]
    # Those that are children of this process are zombies until they are waited for.
    psutil.wait_procs(processes, timeout=0)
