"""Bringing a sink in step with what the home holds: what it has is left, what it lacks is added.

The home is the record: a sync reads it whole, and what an outage kept from the sink comes with the next
one. A mark says up to which entry of the ledger the sink was told; where nothing came since, it is not asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from raypipe.core.files import storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, sha256_bytes
from raypipe.data.locks import try_lock
from raypipe.registry.models import removal_of
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.tracking.sink import Sink
from raypipe.training.kept import RunFolder
from raypipe.training.leaderboard import Leaderboard
from raypipe.training.race import TrialSummary

_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_ALIASES = ("champion", "challenger")
Connect: TypeAlias = "Callable[[], Sink]"


@dataclass(frozen=True)
class Synced:
    """What a sync told the sink; all 0 where it was in step."""

    n_versions: int = 0
    n_trials: int = 0
    seq: int = 0
    """The last entry of the ledger that the sink knows of."""
    is_busy: bool = False
    """Whether another process was at it."""

    def then(self, later: Synced) -> Synced:
        """Return what both told."""
        return Synced(
            self.n_versions + later.n_versions,
            self.n_trials + later.n_trials,
            max(self.seq, later.seq),
            later.is_busy,
        )

    def to_json(self) -> dict[str, Json]:
        return dict(vars(self))


def sync(registry: Registry, folder: PipelineHome, uri: str, connect: Connect) -> Synced:
    """Tell a sink what it does not know yet; `connect` makes it, and is called only where there is news.

    Raises whatever the sink raises; what it was told by then is found there again by the next sync.
    """
    with storage_errors(folder.mlflow_lock):
        folder.root.mkdir(parents=True, exist_ok=True)
    where = sha256_bytes(uri.encode())
    done = _alone(registry, folder, where, connect)
    # Whoever found this process at it meanwhile left it the news.
    while not done.is_busy and done.seq != _newest(registry, folder):
        done = done.then(_alone(registry, folder, where, connect))
    return done


def _alone(registry: Registry, folder: PipelineHome, where: str, connect: Connect) -> Synced:
    with storage_errors(folder.mlflow_lock):
        lock = try_lock(folder.mlflow_lock)
    if lock is None:
        return Synced(is_busy=True)
    try:
        return _synced(registry, folder, where, connect)
    finally:
        os.close(lock)


def _synced(registry: Registry, folder: PipelineHome, where: str, connect: Connect) -> Synced:
    # Read before all else: what comes while the sink is told is news to the next sync.
    seq, mark = _newest(registry, folder), _mark(folder, where)
    if mark.seq == seq:
        return Synced(seq=seq)
    sink, n_trials, told = connect(), 0, list(mark.versions)
    versions = registry.model_versions(folder.name, removed=True)[::-1]
    for version in versions:
        if version.version not in told:
            n_trials += _tell(sink, folder, version)
            told.append(version.version)
            _keep(folder, Mark(where, mark.seq, tuple(told)))
        elif version.removed_at is not None:
            _tell_version(sink, folder, version, sink.run(_key(version), None, {}))
    aliases = registry.aliases(folder.name)
    for alias in sorted({*_ALIASES, *aliases}):
        sink.alias(alias, aliases.get(alias))
    _keep(folder, Mark(where, seq, tuple(told)))
    return Synced(len(told) - len(mark.versions), n_trials, seq)


def _newest(registry: Registry, folder: PipelineHome) -> int:
    entries = registry.history(folder.name, 1)
    return entries[0].seq if entries else 0


@dataclass(frozen=True)
class Mark:
    """Up to where a sink was told; `where` is the digest of its address."""

    where: str
    seq: int = 0
    versions: tuple[str, ...] = ()


def _mark(folder: PipelineHome, where: str) -> Mark:
    try:
        found = json.loads(folder.mlflow_mark.read_bytes())
        mark = Mark(str(found["where"]), int(found["seq"]), tuple(found["versions"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Mark(where)  # Told again, the sink finds what it has.
    return mark if mark.where == where else Mark(where)


def _keep(folder: PipelineHome, mark: Mark) -> None:
    write_json(folder.mlflow_mark, {"where": mark.where, "seq": mark.seq, "versions": list(mark.versions)})


def _key(version: ModelVersion) -> str:
    return f"{version.pipeline}/{version.run}"


def _tell(sink: Sink, folder: PipelineHome, version: ModelVersion) -> int:
    """Tell of the run that made a version, of its trials, and of the version; return the number of trials."""
    board = Leaderboard.from_json(version.metrics)
    at_ms = int(version.created_at.timestamp() * 1000)
    run = sink.run(_key(version), None, {"raypipe.data_version": version.data_version})
    params = {f"{board.best.family}.{name}": str(value) for name, value in board.best.params.items()}
    sink.say(
        run,
        {"family": version.family, "data_version": version.data_version, **params},
        _metrics(board),
        at_ms,
    )
    race = RunFolder(folder.runs / version.run).race()
    trials = race.trials if race is not None else ()
    for trial in trials:
        _tell_trial(sink, run, _key(version), trial, board.metric, at_ms)
    sink.end(run, "FINISHED", at_ms)
    _tell_version(sink, folder, version, run)
    return len(trials)


def _tell_version(sink: Sink, folder: PipelineHome, version: ModelVersion, run: str) -> None:
    removed = {"raypipe.removed": removal_of(version)} if version.removed_at else {}
    tags = {"raypipe.manifest_sha256": version.manifest_sha256, "raypipe.format": version.format, **removed}
    sink.version(version.version, run, folder.model(version.version).absolute().as_uri(), tags)


def _tell_trial(sink: Sink, parent: str, run: str, trial: TrialSummary, metric: str, at_ms: int) -> None:
    tags = {"raypipe.family": trial.family, "raypipe.trial": trial.trial_id, "raypipe.reason": trial.reason}
    child = sink.run(
        f"{run}/{trial.trial_id}", parent, {name: value for name, value in tags.items() if value}
    )
    scores = {} if trial.score is None else {f"validation.{metric}": trial.score}
    params = {name: str(value) for name, value in trial.params.items()}
    sink.say(child, {"family": trial.family, **params}, {**scores, "train_s": trial.train_s}, at_ms)
    sink.end(child, _STATUS[trial.status], at_ms)


def _metrics(board: Leaderboard) -> Mapping[str, float]:
    best = board.best
    intervals = {
        f"validation.{board.metric}": best.validation,
        f"test.{board.metric}": best.test,
        **{f"test.{name}": interval for name, interval in best.other_metrics.items()},
    }
    ends = {
        f"{name}.{end}": value
        for name, one in intervals.items()
        for end, value in (("low", one.low), ("high", one.high))
    }
    return {**{name: one.value for name, one in intervals.items()}, **ends, "train_s": best.train_s}
