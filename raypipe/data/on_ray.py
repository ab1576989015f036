"""The committer as a detached actor: it outlives whoever started it, and starts again if it dies."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from raypipe.core.background import in_background
from raypipe.core.errors import ClusterError, StaleEpoch
from raypipe.core.home import PipelineHome
from raypipe.data.committer import CommitReport, commit_once

NAMESPACE = "raypipe"
_STOP_S = 60.0


@dataclass(frozen=True)
class CommitterStatus:
    """What a committer has done since its process started; `problem` is what the last round failed with.

    One that `is_replaced` by a newer one does nothing more.
    """

    n_rounds: int
    moved: CommitReport
    problem: str | None
    is_replaced: bool = False


class CommitLoop:
    """Commits every `interval_s` seconds in a thread of its own, until a committer of a newer epoch does."""

    def __init__(self, folder: PipelineHome, interval_s: float, epoch: int | None = None) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._epoch = epoch
        self._is_replaced = False
        self._moved = CommitReport()
        self._n_rounds = 0
        self._problem: str | None = None
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raypipe-committer", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def flush(self) -> CommitReport:
        """Commit now, and return what this moved; raises StaleEpoch where a newer committer is there."""
        with self._turn:
            report = commit_once(self._folder, epoch=self._epoch)
            self._moved += report
            self._n_rounds += 1
            return report

    def status(self) -> CommitterStatus:
        """Return what has been done so far."""
        return CommitterStatus(self._n_rounds, self._moved, self._problem, self._is_replaced)

    def stop(self) -> None:
        """End the thread after its round, and commit what is there."""
        self._stop.set()
        self._thread.join()
        if not self._is_replaced:
            self.flush()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self.flush()
            except StaleEpoch as error:
                self._problem, self._is_replaced = str(error), True
                return
            except Exception as error:  # noqa: BLE001  the loop must outlive any one round; status() says why
                self._problem = f"{type(error).__name__}: {error}"
            else:
                self._problem = None


class _CommitterActor(CommitLoop):
    """A loop that starts with its process, so that one that Ray restarted goes on by itself."""

    def __init__(self, root: str, name: str, interval_s: float, epoch: int) -> None:
        in_background()
        super().__init__(PipelineHome(Path(root), name), interval_s, epoch)
        self.start()


def committer_name(pipeline: str) -> str:
    """Return the name of a pipeline's committer in the namespace `raypipe`."""
    return f"raypipe-committer-{pipeline}"


def start_committer(folder: PipelineHome, interval_s: float, epoch: int) -> None:
    """Start a pipeline's committer, or find the one that runs; return once it answers.

    `epoch` is newer than those of all committers before; one that Ray restarts keeps its own, so that a
    cluster that was replaced stays so. Ray must have been started or joined, and its session must outlive the
    caller for the actor to do so.
    """
    actor = _started(folder, interval_s, epoch)
    if ray.get(actor.status.remote()).is_replaced:
        _end(actor, folder.name)
        ray.get(_started(folder, interval_s, epoch).status.remote())


def _end(actor: Any, pipeline: str) -> None:
    """Kill a committer, and wait until its name is free; raises ClusterError."""
    ray.kill(actor, no_restart=True)
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline:
        try:
            _find(pipeline)
        except ClusterError:
            return
        time.sleep(0.05)
    raise ClusterError(
        f"the old committer of {pipeline} did not end within {_STOP_S:g} s; run `raypipe down`."
    )


def _started(folder: PipelineHome, interval_s: float, epoch: int) -> Any:
    options = {
        "name": committer_name(folder.name),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_concurrency": 4,
    }
    made = ray.remote(_CommitterActor).options(**options)
    return made.remote(str(folder.root), folder.name, interval_s, epoch)


def flush_committer(pipeline: str) -> CommitReport:
    """Have the committer commit now; raises ClusterError where none runs, StorageError from it."""
    report: CommitReport = ray.get(_find(pipeline).flush.remote())
    return report


def committer_status(pipeline: str) -> CommitterStatus:
    """Return what the committer has done; raises ClusterError where none runs."""
    status: CommitterStatus = ray.get(_find(pipeline).status.remote())
    return status


def stop_committer(pipeline: str) -> bool:
    """Commit what is there and end the committer; return whether one ran."""
    try:
        actor = _find(pipeline)
    except ClusterError:
        return False
    try:
        ray.get(actor.stop.remote(), timeout=_STOP_S)
    finally:
        ray.kill(actor, no_restart=True)
    return True


def _find(pipeline: str) -> Any:
    try:
        return ray.get_actor(committer_name(pipeline), namespace=NAMESPACE)
    except ValueError as error:
        raise ClusterError(f"no committer runs for {pipeline!r}; `raypipe up` starts it.") from error
