"""Erasing people, so that a kill at any moment leaves an erasure that whoever comes next finishes.

In order: the intent is kept, with hashes in place of keys; from then on no row of theirs is let in. Captured
rows go, with all that was folded from them. The files of data versions are written anew without theirs, and
the Delta table gets a version for each data version; one transaction records all of it. Only then old files
and profiles are deleted, and last the intent. Every step looks for what is still there, so that doing one
again changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from raypipe.core.clock import Clock
from raypipe.core.errors import ConfigError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.erasure.caches import forget_runs
from raypipe.data.erasure.captured import (
    committing,
    damaged,
    erase_captured,
    hand_over,
    n_captured,
    their_predictions,
)
from raypipe.data.erasure.people import PREDICTION, Key, People
from raypipe.data.erasure.records import (
    Counts,
    Intent,
    capture_key,
    new_secret,
    note_models,
    read_intent,
    refuse_from_now_on,
)
from raypipe.data.erasure.rows import Theirs, Thinned, held_again, rows_of, searched, thinned, without
from raypipe.data.leftovers import leftovers, remove
from raypipe.data.names import suggest
from raypipe.data.readmitted import thin
from raypipe.data.turns import turn
from raypipe.data.versions import Change, DataVersion, Erasure, Fragment, Versions

ERASED = "data_erased"
Inspect: TypeAlias = Callable[[str, Callable[[], Theirs]], Mapping[str, tuple[str, ...]]]
"""Returns the models that learned from a data version, each with its files that hold some of such rows."""
OnStep: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Erased:
    """What was erased, or would be."""

    id: str | None
    """None where nothing was."""
    counts: Counts
    models: Mapping[str, tuple[str, ...]]
    """Those that learned from such rows, each with its files that hold some of them."""
    n_damaged: int
    """Segments of the log that cannot be read; an erasure deletes them."""
    is_dry: bool

    def to_json(self) -> Json:
        return {
            "id": self.id,
            **self.counts.to_json(),
            "models": {model: list(files) for model, files in self.models.items()},
            "n_damaged": self.n_damaged,
            "is_dry": self.is_dry,
        }


def erase(
    folder: PipelineHome,
    versions: Versions,
    keys: Sequence[Key],
    *,
    reason: str,
    secret: str,
    inspect: Inspect,
    clock: Clock,
    dry_run: bool = False,
    progress: Progress = silent,
    pause: Callable[[float], None] = time.sleep,
    on_step: OnStep = lambda _: None,
) -> Erased:
    """Erase all rows that have one of these keys, and let none in any more; finish what was begun before.

    `inspect` says which models learned from such rows; of a version of which only quarantined rows are theirs
    none did. `secret` becomes the key of the hashes where there is none yet. With `dry_run` rows are counted,
    and what was captured is moved to its tables; nothing else changes, and neither does it where there are
    none. Waits for its turn where another process ingests; `on_step` hears of each step once it is done.
    Raises ConfigError for a key that is of no column, StorageError.
    """
    with turn(folder, progress):
        finish(folder, versions, progress=progress, on_step=on_step)
        _check(keys, versions.fragments())
        hand_over(folder, pause)
        kept = secret.encode() if dry_run else new_secret(folder, secret, "erase")
        people = People.of(keys, kept, capture_key(folder))
        people |= their_predictions(folder, people)
        counts = _counts(folder, versions, people)
        models = _models(folder, versions, people, counts, inspect)
        found = Erased(None, counts, models, len(damaged(folder)), dry_run)
        if dry_run or counts.is_nothing:
            return found
        now = clock.now()
        id = content_id("e", [now.isoformat(), *sorted(one for of in people.digests.values() for one in of)])
        Intent(id, now, reason, people, counts, models).save(folder)
        on_step("intent kept")
        finish(folder, versions, progress=progress, on_step=on_step)
    return replace(found, id=id)


def finish(
    folder: PipelineHome,
    versions: Versions,
    *,
    progress: Progress = silent,
    on_step: OnStep = lambda _: None,
) -> None:
    """Do what is left of an erasure that was begun, if one was; the turn must be held."""
    intent = read_intent(folder)
    if intent is None:
        return
    progress(Step("erase", f"{intent.id}: rows of people"))
    refuse_from_now_on(folder, _named(intent.people))
    on_step("door closed")
    with committing(folder):
        intent = intent.also(their_predictions(folder, intent.people))
        intent.save(folder)
        on_step("predictions known")
        erase_captured(folder, intent.people, intent.id, intent.at, on_step)
    intent = _erase_rows(folder, versions, intent, on_step)
    thin(folder, intent.people.mask)
    on_step("mended rows thinned")
    _clean(folder, versions, intent, on_step)
    note_models(folder, intent)
    on_step("models noted")
    Intent.remove(folder)
    on_step("intent removed")


def _named(people: People) -> People:
    """Leave out predictions: once they are gone, nothing has their ids any more."""
    return People(people.secret, {name: of for name, of in people.digests.items() if name != PREDICTION})


def _check(keys: Sequence[Key], fragments: Sequence[Fragment]) -> None:
    if not keys:
        raise ConfigError("name whose rows to erase, by a key or by the id of a prediction.")
    kinds = {column.name: column.kind for one in fragments for column in one.columns}
    for key in keys:
        if key.column == PREDICTION or not kinds:
            continue
        if key.column not in kinds:
            raise ConfigError(f"a key must name a column. Got {key.column!r}; {suggest(key.column, kinds)}")
        if kinds[key.column] == "timestamp":
            raise ConfigError(f"a key must not be a time. Got the column {key.column!r} of timestamps.")


def _counts(folder: PipelineHome, versions: Versions, people: People) -> Counts:
    found = list(searched(folder, versions.fragments(), people))
    n_predictions, n_labels = n_captured(folder, people)
    return Counts(
        {one.id: n for one in versions.all() for n in (_n_rows(one, found),) if n is not None},
        sum(one.n_rows for one in found),
        sum(one.n_quarantined for one in found),
        n_predictions,
        n_labels,
    )


def _models(
    folder: PipelineHome, versions: Versions, people: People, counts: Counts, inspect: Inspect
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for version in versions.all():
        if counts.versions.get(version.id):
            found |= inspect(version.id, partial(rows_of, folder, version, people))
    return found


def _n_rows(version: DataVersion, found: Sequence[Thinned]) -> int | None:
    """Return how many rows of a version were found, quarantined ones not counted; None if none of either."""
    times = Counter(one.id for one in version.fragments)
    held = [one for one in found if one.fragment.id in times]
    return sum(one.n_rows * times[one.fragment.id] for one in held) if held else None


def _erase_rows(folder: PipelineHome, versions: Versions, intent: Intent, on_step: OnStep) -> Intent:
    """Write the files without their rows, and record that; returns the intent, which knows what changed."""
    found = list(searched(folder, versions.fragments(), intent.people))
    changed = []
    for one in found:
        changed.append(thinned(folder, one, intent.people, intent.id))
        on_step("fragment written")
    intent = replace(intent, fragments=(*intent.fragments, *(one.fragment.id for one in changed)))
    intent.save(folder)
    on_step("fragments known")
    history = [one for one in versions.all() if one.removed_at is None]
    if changed or not any(one.id == intent.id for version in history for one in version.erased):
        touched = {one.id: n for one in history for n in (_n_rows(one, found),) if n is not None}
        held = held_again(folder, _to_hold(history, touched, changed), intent.at, on_step)
        marked = tuple(_marked(one, touched.get(one.id), intent) for one in held)
        fragments = tuple(one.fragment for one in changed)
        versions.change(Change(ERASED, intent.id, _detail(intent), versions=marked, fragments=fragments))
        on_step("recorded")
    return intent


def _to_hold(
    history: Sequence[DataVersion], touched: Mapping[str, int], changed: Sequence[Thinned]
) -> list[DataVersion]:
    """Return the versions that changed, newest first, under the newest one."""
    chosen = [one for place, one in enumerate(history) if touched and (place == 0 or one.id in touched)]
    return [without(one, changed) for one in chosen]


def _marked(version: DataVersion, n_rows: int | None, intent: Intent) -> DataVersion:
    if n_rows is None:
        return version
    return replace(version, erased=(*version.erased, Erasure(intent.id, intent.at, n_rows, intent.reason)))


def _detail(intent: Intent) -> Json:
    models = {model: list(files) for model, files in intent.models.items()}
    return {"reason": intent.reason, **intent.counts.to_json(), "models": models}


def _clean(folder: PipelineHome, versions: Versions, intent: Intent, on_step: OnStep) -> None:
    """Delete profiles of what changed, what runs made of it, and all files that nothing names any more."""
    for id in intent.fragments:
        folder.fragment_profile(id).unlink(missing_ok=True)
        on_step("profile deleted")
    place = folder.fragment_profile("f").parent
    for unfinished in place.glob(".*.tmp"):
        unfinished.unlink(missing_ok=True)
    if place.exists():
        with storage_errors(place):
            fsync_folder(place)
    there = [one.content for one in versions.all() if one.removed_at is None]
    remove(leftovers(folder, versions.fragments(), there), on_step)
    forget_runs(folder, intent.counts.versions.keys(), on_step)
