"""How long data versions are kept: which go, and how, so that a kill at any moment leaves nothing half there.

In order: one transaction calls the versions removed and forgets the fragments that no kept version holds;
only then files that no fragment names are deleted. What a kill leaves are such files, and the next time they
go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from raypipe.core.clock import Clock
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, silent
from raypipe.data.config import RetentionSettings
from raypipe.data.leftovers import leftovers, remove
from raypipe.data.turns import turn
from raypipe.data.versions import Change, DataVersion, Fragment, Versions, held_fragments

Pins: TypeAlias = Mapping[str, str]
REMOVED = "data_removed"
NEWEST = "it is the newest"


@dataclass(frozen=True)
class KeptVersion:
    """A version that stays, and why."""

    id: str
    why: str


@dataclass(frozen=True)
class Collected:
    """What went, or would go."""

    removed: tuple[str, ...]
    """Versions, newest first."""
    kept: tuple[KeptVersion, ...]
    n_fragments: int
    """Fragments that no kept version holds, also those that were of no version any more."""
    n_files: int
    n_bytes: int
    is_dry: bool

    def to_json(self) -> Json:
        return asdict(self)


def reasons(
    versions: Sequence[DataVersion], settings: RetentionSettings, pins: Pins, now: datetime
) -> dict[str, str]:
    """Return why each version stays; those that are not named go. `versions` are newest first.

    A version stays if it is the newest, if `pins` gives a reason, or if either rule of the settings keeps it.
    """
    there = [one for one in versions if one.removed_at is None]
    found = {
        one.id: (pins.get(one.id) if place else None)
        or kept_by_rule(place, one.created_at, settings, now, "data.retention")
        for place, one in enumerate(there)
    }
    return {id: why for id, why in found.items() if why is not None}


def kept_by_rule(
    place: int, created_at: datetime, settings: RetentionSettings, now: datetime, key: str
) -> str | None:
    """Return why a version stays that is the `place`-th newest, by the settings at `key` of the config."""
    if place == 0:
        return NEWEST
    last, days = settings.keep_last, settings.keep_days
    if last is None and days is None:
        return f"{key} keeps every version"
    if last is not None and place < last:
        return f"it is one of the newest {last}"
    if days is not None and now - created_at < timedelta(days=days):
        return f"it is younger than {days:g} days"
    return None


def collect_garbage(
    folder: PipelineHome,
    versions: Versions,
    settings: RetentionSettings,
    pins: Callable[[], Pins],
    *,
    clock: Clock,
    dry_run: bool = False,
    progress: Progress = silent,
    on_step: Callable[[str], None] = lambda _: None,
) -> Collected:
    """Remove the versions that nothing keeps, and all files that no version needs.

    `pins` says which versions must stay whatever the settings are, and why. With `dry_run` nothing is
    removed. Waits for its turn where another process ingests; `on_step` hears of each step once it is done.
    Raises StorageError.
    """
    with turn(folder, progress):
        history = versions.all()
        kept = reasons(history, settings, pins(), clock.now())
        removed = [one for one in history if one.removed_at is None and one.id not in kept]
        staying, forgotten = _parted(history, versions.fragments(), kept)
        files = leftovers(folder, staying, [one.content for one in history if one.id in kept])
        found = Collected(
            removed=tuple(one.id for one in removed),
            kept=tuple(KeptVersion(id, why) for id, why in kept.items()),
            n_fragments=len(forgotten),
            n_files=len(files),
            n_bytes=sum(path.stat().st_size for path in files),
            is_dry=dry_run,
        )
        if dry_run:
            return found
        if removed or forgotten:
            versions.change(_change(removed, forgotten, found, clock.now()))
            on_step("noted")
        remove(files, on_step)
    return found


def _parted(
    history: Sequence[DataVersion], fragments: Sequence[Fragment], kept: Mapping[str, str]
) -> tuple[list[Fragment], list[Fragment]]:
    """Return the fragments that stay and those that go.

    One that no version holds stays if it was read after the newest version: the next one goes on from it.
    """
    needed = {one.id for one in held_fragments([one for one in history if one.id in kept], fragments)}
    newest = max((one.created_at for one in history), default=None)
    staying: list[Fragment] = []
    going: list[Fragment] = []
    for fragment in fragments:
        is_new = newest is None or fragment.ingested_at > newest
        (staying if fragment.id in needed or is_new else going).append(fragment)
    return staying, going


def _change(
    removed: Sequence[DataVersion], forgotten: Sequence[Fragment], found: Collected, now: datetime
) -> Change:
    detail: Json = {
        "versions": [one.id for one in removed],
        "n_fragments": found.n_fragments,
        "n_files": found.n_files,
        "n_bytes": found.n_bytes,
    }
    return Change(
        REMOVED,
        removed[0].id if removed else "fragments of no version",
        detail,
        versions=tuple(replace(one, removed_at=now, fragments=()) for one in removed),
        forgotten=tuple(one.id for one in forgotten),
    )
