"""From sources to an immutable data version: what is known is kept, what is new is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from raypipe.core.clock import Clock
from raypipe.core.errors import ConfigError, ContractError, DataError, LabelError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.batch_rules import batches_before, n_new_rows, odd_volume, stale
from raypipe.data.compaction import compacted
from raypipe.data.config import DataSettings
from raypipe.data.contract import check_contract
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.erasure.erase import finish
from raypipe.data.feeds import Feed, Feeds, feeds_of
from raypipe.data.fragments import QUARANTINE, columns_of, stored_schema
from raypipe.data.gather import Gatherer
from raypipe.data.holding import hold
from raypipe.data.leftovers import leftovers, remove
from raypipe.data.names import suggest
from raypipe.data.readmitted import MARK, readmitted_feeds
from raypipe.data.schema import Column
from raypipe.data.table import table_exists
from raypipe.data.turns import turn
from raypipe.data.uniqueness import Uniqueness
from raypipe.data.versions import (
    ENDPOINT,
    BrokenRule,
    Change,
    DataVersion,
    Fragment,
    Versions,
    held_fragments,
    of_id,
    total_broken,
)

TrafficFeed: TypeAlias = Callable[[DataSettings, PipelineHome, Sequence[Column]], Feed]
"""Gives the feed of captured rows, in the columns that the rows of the sources have."""


def ingest(
    settings: DataSettings,
    folder: PipelineHome,
    versions: Versions,
    *,
    clock: Clock,
    progress: Progress = silent,
    feeds: Feeds | None = None,
    traffic: TrafficFeed | None = None,
) -> DataVersion:
    """Return the data version of what the sources hold now, recorded in `versions`.

    Only pieces that no version holds yet are read. Where there is a version with this content, it is
    returned and nothing is written. `feeds` stand for those of the settings; the rows of `traffic` follow
    theirs. Waits for its turn where another process ingests, and first finishes an erasure that was cut
    short. Raises SourceError, SchemaError, LabelError, ContractError, DataError, ConfigError and
    StorageError. Of a batch that the contract refuses as a whole nothing is left; where a row stops it, the
    pieces before that one are not read again.
    """
    check_contract(settings.contract)
    with turn(folder, progress):
        finish(folder, versions, progress=progress)
        ingesting = _Ingest(settings, folder, versions, clock, progress)
        return ingesting.run(feeds or feeds_of(settings, progress), traffic)


@dataclass(frozen=True)
class _Ingest:
    """One ingest, whose turn it is."""

    settings: DataSettings
    folder: PipelineHome
    versions: Versions
    clock: Clock
    progress: Progress

    def run(self, declared: Feeds, traffic: TrafficFeed | None) -> DataVersion:
        gatherer = Gatherer(self.folder, self.versions, self.clock, self.progress)
        for feed in declared.feeds:
            gatherer.gather(feed)
        for feed in readmitted_feeds(self.folder, self.settings, gatherer.fragments):
            gatherer.gather(feed)
        if traffic is not None:
            gatherer.gather(traffic(self.settings, self.folder, columns_of(gatherer.fragments)))
        try:
            return self._made(gatherer, declared)
        except ContractError:
            forget_unheld(self.folder, self.versions)
            raise

    def _made(self, gatherer: Gatherer, declared: Feeds) -> DataVersion:
        """Return the version of what was gathered."""
        columns = columns_of(gatherer.fragments)
        _check_drop(self.settings.drop, [*(column.name for column in columns), *_unread(gatherer.fragments)])
        own = frozenset(feed.source.name for feed in declared.feeds)
        n_new = n_new_rows(gatherer.fragments, gatherer.history, own)
        warnings = self._warnings(gatherer, n_new)
        id = version_id(gatherer, self.settings.contract)
        known = of_id(gatherer.history, id)
        if known is not None and known.removed_at is None:
            self.progress(Step("collect", f"{known.id}: nothing new", 1.0))
            return known
        made = self._write(gatherer, id, columns)
        version = replace(made, joined=declared.joined, n_new_rows=n_new, broken=(*made.broken, *warnings))
        self.versions.add(version)
        self.progress(Step("collect", f"{id}: {version.n_rows:,} rows", 1.0))
        return version

    def _warnings(self, gatherer: Gatherer, n_new: int) -> list[BrokenRule]:
        """Return what the batch breaks as a whole, and say so; raises ContractError where that stops it."""
        contract, time = self.settings.contract, self.settings.time
        found: list[BrokenRule | None] = []
        if contract.freshness is not None and time is not None:
            found.append(stale(contract.freshness, time, gatherer.fragments, self.clock.now()))
        if contract.volume is not None:
            before = batches_before(gatherer.history, frozenset(gatherer.recipes.values()))
            found.append(odd_volume(contract.volume, n_new, before))
        warnings = [one for one in found if one is not None]
        for one in warnings:
            told = " ".join(filter(None, (one.column, one.rule)))
            self.progress(Step("collect", f"the contract warns: {told}"))
        return warnings

    def _write(self, gatherer: Gatherer, id: str, columns: tuple[Column, ...]) -> DataVersion:
        """Commit the fragments to the tables, and return the version that holds them."""
        folder, now = self.folder, self.clock.now()
        read = compacted(folder, [gatherer.in_types(one, columns) for one in gatherer.fragments])
        fragments = self._unrepeated(read, columns)
        check_enough(self.settings, fragments)
        return _committed(folder, gatherer, id, columns, fragments, now)

    def _unrepeated(self, fragments: list[Fragment], columns: tuple[Column, ...]) -> list[Fragment]:
        """Leave out rows that repeat others; what was read is kept beside that, for the next version."""
        rules = self.settings.contract.unique
        if not rules:
            return fragments
        unique = Uniqueness(
            self.folder,
            rules,
            columns,
            time=self.settings.time,
            sets_aside=lambda one: one.source == ENDPOINT or one.source.endswith(MARK),
        )
        settled = unique.settle(fragments, self.versions.fragments())
        for one in settled.originals:
            self.versions.keep(one)
        return settled.fragments


def version_id(gatherer: Gatherer, contract: ContractSettings) -> str:
    """Return the id of these rows, wherever they lie and however they were cut and merged."""
    chains, recipes = gatherer.chains, gatherer.recipes
    parts: list[Json] = [[name, recipes[name], chain] for name, chain in chains.items()]
    unique = contract.model_dump(mode="json", include={"unique"}, exclude_defaults=True)
    return content_id("d", [*parts, unique] if unique else parts)


def forget_unheld(folder: PipelineHome, versions: Versions) -> None:
    """Forget all fragments that no version holds, with their files. Raises StorageError."""
    there = [one for one in versions.all() if one.removed_at is None]
    known = versions.fragments()
    held = held_fragments(there, known)
    ids = {one.id for one in held}
    forgotten = tuple(one.id for one in known if one.id not in ids)
    if forgotten:
        versions.change(
            Change(
                "data_refused",
                "fragments of no version",
                {"n_fragments": len(forgotten)},
                forgotten=forgotten,
            )
        )
    remove(leftovers(folder, held, {id for one in there for id in (one.id, one.content)}))


def _committed(
    folder: PipelineHome,
    gatherer: Gatherer,
    id: str,
    columns: tuple[Column, ...],
    fragments: Sequence[Fragment],
    now: datetime,
) -> DataVersion:
    set_aside = [file for one in fragments for file in one.quarantine]
    if set_aside or table_exists(folder.quarantine):
        hold(folder.quarantine, QUARANTINE, set_aside, id=id, at=now)
    files = [file for one in fragments for file in one.files]
    newest = gatherer.history[0].id if gatherer.history else None
    return DataVersion(
        id=id,
        parent=newest,
        table_version=hold(folder.rows, stored_schema(columns, fragments), files, id=id, at=now),
        columns=columns,
        unread=_unread(fragments),
        n_rows=sum(one.n_kept for one in fragments),
        broken=total_broken(fragments),
        n_unlabelled=sum(one.n_unlabelled for one in fragments),
        fragments=tuple(fragments),
        created_at=now,
        n_read=gatherer.n_read,
        n_known=gatherer.n_known,
        chains=gatherer.chains,
    )


def check_enough(settings: DataSettings, fragments: Sequence[Fragment]) -> None:
    """Refuse rows that are too few, or of which too many broke the contract."""
    n_rows, n_chosen = (sum(getattr(one, name) for one in fragments) for name in ("n_rows", "n_chosen"))
    n_kept, n_bad = (sum(getattr(one, name) for one in fragments) for name in ("n_kept", "n_bad"))
    if settings.where is not None and not n_chosen:
        raise DataError(f"data.where {settings.where!r} is true for none of {n_rows:,} rows.")
    if n_chosen > n_bad and not n_kept:
        raise LabelError(
            f"the label {settings.label_name!r} is null in all of {n_chosen - n_bad:,} rows; name a column "
            "with values in `data.label`, or correct the files."
        )
    _check_bad(settings.contract, fragments, n_chosen, n_bad)
    if n_kept < max(1, settings.contract.min_rows):
        raise ContractError(
            f"{n_kept:,} rows are left of {n_chosen:,}, fewer than data.contract.min_rows "
            f"{settings.contract.min_rows}: {n_bad:,} break the contract and {n_chosen - n_bad - n_kept:,} "
            "have no label."
        )


def _check_bad(contract: ContractSettings, fragments: Sequence[Fragment], n_chosen: int, n_bad: int) -> None:
    if n_bad > contract.max_bad_ratio * n_chosen:
        worst = max(total_broken(fragments), key=lambda rule: rule.n_rows)
        raise ContractError(
            f"{n_bad:,} of {n_chosen:,} rows break the contract, more than data.contract.max_bad_ratio "
            f"{contract.max_bad_ratio:g} allows; most often ({worst.n_rows:,} rows) column {worst.column!r}: "
            f"{worst.rule}."
        )


def _unread(fragments: Sequence[Fragment]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in fragments for name in one.unread))


def _check_drop(drop: Sequence[str], known: Sequence[str]) -> None:
    for name in drop:
        if name not in known:
            raise ConfigError(f"data.drop names {name!r}, which is no column; {suggest(name, known)}")
