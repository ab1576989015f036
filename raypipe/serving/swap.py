"""The version holder: which version a replica answers with, and how another one takes its place."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from raypipe.core.clock import Clock
from raypipe.core.errors import ArtifactError, RaypipeError, ServingError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.serving.answers import class_name
from raypipe.serving.canary import LoadedCanary
from raypipe.serving.golden import Timer, fastest_s, read_golden
from raypipe.serving.pointer import Canary, Pointer, read_pointer
from raypipe.serving.predictor import Predictor, load_predictor
from raypipe.serving.request import RequestSchema
from raypipe.serving.row_budget import RowBudget

RETRY_INTERVAL = timedelta(seconds=30)
"""A refused version is tried again after so long: a shared folder may show its files late."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version in memory, proven and warm."""

    pointer: Pointer
    predictor: Predictor
    schema: RequestSchema
    example: Json
    """A row that a request may bring."""
    class_names: tuple[str, ...]
    """The task's classes as keys of JSON."""


@dataclass(frozen=True)
class ServedVersion:
    """A version that answers, and since when."""

    loaded: LoadedVersion
    since: datetime
    canary: LoadedCanary | None = None


@dataclass(frozen=True)
class Refusal:
    """A version that could not take over; `epoch` is None where the pointer itself is damaged or gone."""

    version: str | None
    epoch: int | None
    message: str
    at: datetime

    def to_json(self) -> Json:
        return {**asdict(self), "at": self.at.isoformat()}


def load_version(
    folder: PipelineHome, pointer: Pointer, max_row_ms: float = math.inf, timer: Timer = time.perf_counter
) -> LoadedVersion:
    """Load what a pointer names; raises ArtifactError where it is not what was registered, or too slow."""
    place = folder.model(pointer.version)
    predictor = load_predictor(place, pointer.manifest_sha256)
    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    names = tuple(map(class_name, predictor.task.classes))
    took_ms = 1e3 * fastest_s(predictor, place, timer)
    if took_ms > max_row_ms:
        raise ArtifactError(
            f"{pointer.version} must answer a row within {max_row_ms:g} ms (serving.max_row_ms). Got "
            f"{took_ms:.3g} ms at its fastest; take a smaller model, or allow it more."
        )
    return LoadedVersion(pointer, predictor, schema, read_golden(place).rows[0], names)


class VersionHolder:
    """Holds the version that answers, and swaps it when the pointer moves to a newer epoch.

    A request takes `current` once and keeps it to its end. `poll` blocks while a version loads: call it from
    one thread, that of whatever moves versions. It never raises: what cannot be loaded is refused and told by
    `refusal`, and what answered before goes on. The constructor raises ServingError where the pointer's
    version cannot be loaded.
    """

    def __init__(self, path: Path, load: Callable[[Pointer], LoadedVersion], clock: Clock) -> None:
        self._path = path
        self._load = load
        self._clock = clock
        self._seen = _stamp(path)
        self._refusal: Refusal | None = None
        self._in_memory: tuple[LoadedVersion, ...] = ()
        self._current = self._first()

    @property
    def current(self) -> ServedVersion:
        """The version that answers."""
        return self._current

    @property
    def refusal(self) -> Refusal | None:
        """The last version that could not take over, until the pointer moves again."""
        return self._refusal

    def poll(self) -> None:
        """Look at the pointer, and take over what it names if that is newer."""
        stamp = _stamp(self._path)
        if stamp == self._seen and not self._retry_is_due():
            return
        self._seen = stamp
        try:
            pointer = read_pointer(self._path)
        except ServingError as error:
            self._refuse(None, str(error))
            return
        held = self._current.loaded.pointer
        if pointer is None:
            self._refuse(None, f"{self._path} is gone; promote a version to write it again.")
        elif pointer == held:
            self._refusal = None
        elif pointer.epoch <= held.epoch:
            self._refuse(pointer, f"epoch {pointer.epoch} is not newer than {held.epoch}, which serves.")
        else:
            self._take_over(pointer)

    def follow(self, pointer: Pointer) -> None:
        """Take over what was just released; raises ServingError where it is refused."""
        self.poll()
        held = self._current.loaded.pointer
        if held.epoch < pointer.epoch:
            why = self._refusal.message if self._refusal else "the pointer did not move"
            raise ServingError(f"{pointer.version} was refused, and {held.version} goes on: {why}")

    def _first(self) -> ServedVersion:
        pointer = read_pointer(self._path)
        if pointer is None:
            raise ServingError(f"no version is released: {self._path} is absent; run or promote a version.")
        try:
            champion = self._load(replace(pointer, canary=None))
        except RaypipeError as error:
            raise ServingError(
                f"version {pointer.version}, which {self._path} names, cannot serve: {error}"
            ) from error
        now = self._clock.now()
        try:
            return self._beside(champion, pointer, now)
        except Exception as error:  # noqa: BLE001 - whatever a broken canary raises, the champion answers
            self._refuse(pointer, str(error) or type(error).__name__)
            return ServedVersion(replace(champion, pointer=pointer), now)

    def _take_over(self, pointer: Pointer) -> None:
        held = self._current
        try:
            loaded = self._loaded(replace(pointer, canary=None))
            is_same = loaded.predictor is held.loaded.predictor
            found = self._beside(loaded, pointer, held.since if is_same else self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever a broken version raises, the old one goes on
            self._refuse(pointer, str(error) or type(error).__name__)
            return
        self._current = found
        self._refusal = None

    def _beside(self, champion: LoadedVersion, pointer: Pointer, since: datetime) -> ServedVersion:
        """Return the champion with the canary that a pointer names beside it."""
        served, terms = replace(champion, pointer=pointer), pointer.canary
        if terms is None:
            self._in_memory = (served,)
            return ServedVersion(served, since)
        named = self._loaded(Pointer(terms.version, terms.manifest_sha256, pointer.epoch))
        self._in_memory = (served, named)
        canary = LoadedCanary(
            terms, pointer.epoch, named.predictor, named.schema, self._budget(terms, pointer.epoch)
        )
        return ServedVersion(served, since, canary)

    def _budget(self, terms: Canary, epoch: int) -> RowBudget:
        """Return what holds the rows that a canary may answer, here and in other replicas."""
        name = terms.budget or f"epoch-{epoch}"
        return RowBudget(self._path.parent / "canaries" / f"{name}.rows", terms.max_rows)

    def _loaded(self, pointer: Pointer) -> LoadedVersion:
        """Load a version, unless it is in memory already as champion or canary."""
        for known in self._in_memory:
            if replace(known.pointer, epoch=pointer.epoch, canary=None) == pointer:
                return replace(known, pointer=pointer)
        return self._load(pointer)

    def _refuse(self, pointer: Pointer | None, message: str) -> None:
        version, epoch = (pointer.version, pointer.epoch) if pointer else (None, None)
        self._refusal = Refusal(version, epoch, message, self._clock.now())

    def _retry_is_due(self) -> bool:
        return self._refusal is not None and self._clock.now() - self._refusal.at >= RETRY_INTERVAL


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what tells one file from the one that replaced it, without reading."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked four times a second, by every replica
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
