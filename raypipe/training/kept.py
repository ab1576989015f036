"""What a run has done so far, kept in its folder as it goes: a run that dies is gone on with, not begun anew.

    run.json          what the run is made from, and how often it was attempted
    trials/t1/        a trial that ended by itself: trial.json, and its best model under model/
    candidates/NAME/  the best model of each family, once the race is over
    race.json         how the race went: candidates and all trials
    judge.json        what later stages found, each under its name
    features/         features that are too many for memory, until the last stage is over
    search-1/         Ray Tune's own files, of no use to the next attempt

A folder or file under its final name is whole: each is written aside and renamed. Only what was made from the
same content counts; the process that holds the folder's lock is the only one that writes there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raypipe.core.errors import RunUnderWay
from raypipe.core.files import fsync_folder, fsync_tree, storage_errors, write_json
from raypipe.core.ids import Json
from raypipe.data.erasure.caches import LOCK_NAME, RUN_NAME
from raypipe.data.locks import try_lock
from raypipe.training.race import Candidate, RaceResult, TrialSummary
from raypipe.training.standings import Standing, candidate_of

LATER_STAGES = ("judge", "importance")
"""The stages after the race whose results are kept, in their order."""
_RACE, _TRIAL, _MODEL = "race.json", "trial.json", "model"
_TRIALS, _CANDIDATES, _FEATURES = "trials", "candidates", "features"
_SEARCH, _PART = "search-", ".part"


@dataclass(frozen=True)
class EndedTrial:
    """A trial that ended by itself, with what later trials are compared with and chosen by."""

    standing: Standing
    scores: tuple[tuple[int, float], ...]
    """Each rung that it reported, with its best score by then."""
    at_s: float
    """Seconds into the race at which it ended; those of earlier attempts count."""

    @property
    def number(self) -> int:
        """Its place among the trials of the run."""
        return int(self.standing.summary.trial_id.removeprefix("t"))


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run that this process carries out."""

    path: Path
    attempt: int = 1

    @property
    def search(self) -> Path:
        """Where the search of this attempt has its own files."""
        return self.path / f"{_SEARCH}{self.attempt}"

    @property
    def features(self) -> Path:
        """Where features are that are too many for memory."""
        return self.path / _FEATURES

    def forget_features(self) -> None:
        """Remove the features, as no stage needs them any more."""
        shutil.rmtree(self.features, ignore_errors=True)

    def before(self, n_trials: int) -> tuple[str, ...]:
        """Say what earlier attempts finished, a sentence a stage; `n_trials` is the budget of the race."""
        if finished := stages_finished(self.path):
            return tuple(f"{stage}: finished before" for stage in finished)
        n_kept = n_ended(self.path)
        return (f"race: {n_kept} of {n_trials} trials were finished before",) if n_kept else ()

    def trials(self) -> tuple[EndedTrial, ...]:
        """Return the trials that ended, of all attempts, in the order in which they began."""
        found = [_read_trial(path.parent) for path in (self.path / _TRIALS).glob(f"t*/{_TRIAL}")]
        return tuple(sorted(found, key=lambda one: one.number))

    def keep_trial(self, ended: EndedTrial) -> EndedTrial:
        """Keep a trial; its model moves here from where it was saved."""
        summary = ended.standing.summary
        target = self.path / _TRIALS / summary.trial_id
        staged = target.with_name(f".{summary.trial_id}{_PART}")
        with storage_errors(target):
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            if ended.standing.folder is not None:
                ended.standing.folder.rename(staged / _MODEL)
            write_json(staged / _TRIAL, _trial_json(ended))
            _publish(staged, target)
        return _read_trial(target)

    def keep_race(self, best: Sequence[Standing], trials: Sequence[TrialSummary]) -> RaceResult:
        """Keep the best models and how all trials ended; the models of the other trials go."""
        folder = self.path / _CANDIDATES
        staged = folder.with_name(_CANDIDATES + _PART)
        with storage_errors(folder):
            for place in (staged, folder):
                shutil.rmtree(place, ignore_errors=True)
            for standing in best:
                if standing.folder is not None:
                    shutil.copytree(standing.folder, staged / standing.summary.family)
            _publish(staged, folder)
        candidates = tuple(candidate_of(one, folder / one.summary.family) for one in best)
        result = RaceResult(candidates, tuple(trials))
        write_json(self.path / _RACE, _race_json(result))
        shutil.rmtree(self.path / _TRIALS, ignore_errors=True)
        return result

    def race(self) -> RaceResult | None:
        """Return how the race ended; None while it has not."""
        kept = _read(self.path / _RACE)
        return None if kept is None else _race_of(kept, self.path / _CANDIDATES)

    def keep(self, stage: str, result: Json) -> None:
        """Keep what a later stage found."""
        write_json(self.path / f"{stage}.json", result)

    def found(self, stage: str) -> Json:
        """Return what a later stage found; None while it has not."""
        found: Json = _read(self.path / f"{stage}.json")
        return found


@contextmanager
def open_run(path: Path, *, content: str, data: str, fresh: bool = False) -> Iterator[RunFolder]:
    """Hold the folder of a run until the block ends, with what earlier attempts left there.

    `content` says what the run is made from, `data` on which version; what was made from something else is
    removed, and with `fresh` all is. Raises RunUnderWay where another process holds the folder.
    """
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = try_lock(path / LOCK_NAME)
    if lock is None:
        raise RunUnderWay(f"another process carries out the run {path.name}; wait for it, or end it.")
    try:
        yield _begun(path, content, data, fresh)
    finally:
        os.close(lock)


def data_of(path: Path) -> str | None:
    """Return the data version that a run was begun on; None where it was not."""
    begun = _read(path / RUN_NAME)
    return None if begun is None else str(begun["data"])


def begun(runs: Path) -> dict[str, str]:
    """Return the runs that have a folder, each with the data version that it was begun on."""
    found = {path.name: data_of(path) for path in sorted(runs.glob("*/"))}
    return {run: data for run, data in found.items() if data is not None}


def stages_finished(path: Path) -> tuple[str, ...]:
    """Return the stages of a run that are finished, in their order."""
    if not (path / _RACE).exists():
        return ()
    return ("race", *(name for name in LATER_STAGES if (path / f"{name}.json").exists()))


def n_ended(path: Path) -> int:
    """Return how many trials of a run that is not over have ended."""
    return len(list((path / _TRIALS).glob(f"t*/{_TRIAL}")))


def training_s(path: Path) -> float:
    """Return the seconds that all trials of a race spent in training."""
    return float(sum(trial["train_s"] for trial in _read(path / _RACE)["trials"]))


def held_s(path: Path) -> float:
    """Return the seconds for which all trials of a race held their resources; 0 of an older raypipe's."""
    return float(sum(trial.get("held_s", 0.0) for trial in _read(path / _RACE)["trials"]))


def remove_leftovers(runs: Path, staging: Path) -> None:
    """Remove what dead runs left half-done; what the next attempt of one can use stays."""
    for path in staging.glob("*/"):
        if not (runs / path.name).exists():
            shutil.rmtree(path, ignore_errors=True)
    for path in sorted(runs.glob("*/")):
        if (lock := try_lock(path / LOCK_NAME)) is None:
            continue
        try:
            _remove_partial(path)
            shutil.rmtree(staging / path.name, ignore_errors=True)
        finally:
            os.close(lock)


def _begun(path: Path, content: str, data: str, fresh: bool) -> RunFolder:
    before = _read(path / RUN_NAME)
    if fresh or before is None or before["content"] != content:
        _empty(path)
        before = {"attempt": 0}
    _remove_partial(path)
    attempt = int(before["attempt"]) + 1
    write_json(path / RUN_NAME, {"content": content, "data": data, "attempt": attempt})
    return RunFolder(path, attempt)


def _empty(path: Path) -> None:
    with storage_errors(path):
        for entry in path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK_NAME:
                entry.unlink()


def _remove_partial(path: Path) -> None:
    for place in (*path.glob(f"{_SEARCH}*"), *path.glob(f"*{_PART}"), *path.glob(f"{_TRIALS}/*{_PART}")):
        shutil.rmtree(place, ignore_errors=True)


def _publish(staged: Path, target: Path) -> None:
    fsync_tree(staged)
    staged.rename(target)
    fsync_folder(target.parent)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _trial_json(ended: EndedTrial) -> Json:
    return {
        **asdict(ended.standing.summary),
        "format": ended.standing.format,
        "scores": [list(pair) for pair in ended.scores],
        "at_s": ended.at_s,
    }


def _read_trial(folder: Path) -> EndedTrial:
    fields = json.loads((folder / _TRIAL).read_bytes())
    format, at_s = fields.pop("format"), fields.pop("at_s")
    scores = tuple((int(rung), float(score)) for rung, score in fields.pop("scores"))
    model = folder / _MODEL
    standing = Standing(TrialSummary(**fields), format, model if model.exists() else None)
    return EndedTrial(standing, scores, at_s)


def _race_json(result: RaceResult) -> Json:
    return {
        "candidates": [_candidate_json(one) for one in result.candidates],
        "trials": [asdict(trial) for trial in result.trials],
    }


def _candidate_json(candidate: Candidate) -> dict[str, Json]:
    return {name: value for name, value in asdict(candidate).items() if name != "folder"}


def _race_of(kept: Any, folder: Path) -> RaceResult:
    return RaceResult(
        tuple(Candidate(**one, folder=folder / one["family"]) for one in kept["candidates"]),
        tuple(TrialSummary(**one) for one in kept["trials"]),
    )
