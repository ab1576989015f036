"""From sources to an immutable data version: what is known is kept, what is new is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from raypipe.core.clock import Clock
from raypipe.core.errors import ConfigError, DataError, LabelError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import content_id
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.compaction import compacted
from raypipe.data.config import ContractSettings, DataSettings
from raypipe.data.contract import check_patterns
from raypipe.data.erasure.erase import finish
from raypipe.data.feeds import Feed, Feeds, feeds_of
from raypipe.data.fragments import QUARANTINE, columns_of, stored_schema
from raypipe.data.gather import Gatherer
from raypipe.data.holding import hold
from raypipe.data.names import suggest
from raypipe.data.schema import Column
from raypipe.data.table import table_exists
from raypipe.data.turns import turn
from raypipe.data.versions import DataVersion, Fragment, Versions, of_id, total_broken

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
    short. Raises SourceError, SchemaError, LabelError, DataError, ConfigError and StorageError.
    """
    check_patterns(settings.contract)
    with turn(folder, progress):
        finish(folder, versions, progress=progress)
        gatherer = Gatherer(folder, versions, clock, progress)
        declared = feeds or feeds_of(settings, progress)
        for feed in declared.feeds:
            gatherer.gather(feed)
        if traffic is not None:
            gatherer.gather(traffic(settings, folder, columns_of(gatherer.fragments)))
        columns = columns_of(gatherer.fragments)
        _check_drop(settings.drop, [*(column.name for column in columns), *_unread(gatherer.fragments)])
        id = version_id(gatherer)
        known = of_id(gatherer.history, id)
        if known is not None and known.removed_at is None:
            progress(Step("collect", f"{known.id}: nothing new", 1.0))
            return known
        check_enough(settings, gatherer.fragments)
        made = _write(folder, gatherer, id, columns, clock.now())
        version = replace(made, joined=declared.joined)
        versions.add(version)
    progress(Step("collect", f"{id}: {version.n_rows:,} rows", 1.0))
    return version


def version_id(gatherer: Gatherer) -> str:
    """Return the id of these rows, wherever they lie and however they were cut and merged."""
    chains, recipes = gatherer.chains, gatherer.recipes
    return content_id("d", [[name, recipes[name], chain] for name, chain in chains.items()])


def _write(
    folder: PipelineHome, gatherer: Gatherer, id: str, columns: tuple[Column, ...], now: datetime
) -> DataVersion:
    """Commit the fragments to the tables, and return the version that holds them."""
    fragments = compacted(folder, [gatherer.in_types(one, columns) for one in gatherer.fragments])
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
        raise DataError(
            f"{n_kept:,} rows are left of {n_chosen:,}, fewer than data.contract.min_rows "
            f"{settings.contract.min_rows}: {n_bad:,} break the contract and {n_chosen - n_bad - n_kept:,} "
            "have no label."
        )


def _check_bad(contract: ContractSettings, fragments: Sequence[Fragment], n_chosen: int, n_bad: int) -> None:
    if n_bad > contract.max_bad_ratio * n_chosen:
        worst = max(total_broken(fragments), key=lambda rule: rule.n_rows)
        raise DataError(
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
