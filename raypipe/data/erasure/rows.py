"""Data versions without the rows of people: new files beside the old ones, then one record of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.home import PipelineHome
from raypipe.data.erasure.people import PREDICTION, People
from raypipe.data.fragments import QUARANTINE, fragment_schema, read_fragments, stored_schema
from raypipe.data.holding import hold
from raypipe.data.table import read_files, table_exists, write_files
from raypipe.data.versions import DataVersion, Fragment


@dataclass(frozen=True)
class Thinned:
    """A fragment, and how many rows of people it holds, or held before it became what it is here."""

    fragment: Fragment
    n_rows: int
    n_quarantined: int


@dataclass(frozen=True)
class Theirs:
    """The rows of people in a data version, and the texts that no other row of it has."""

    rows: pa.Table
    texts: frozenset[str]


def rows_of(folder: PipelineHome, version: DataVersion, people: People) -> Theirs:
    """Return what a version holds of people, in its own columns."""
    parts, others = [], dict[str, set[str]]()
    names = [column.name for column in version.columns if column.kind == "category"]
    for _, rows in read_fragments(folder, version, [*(one.name for one in version.columns), PREDICTION]):
        mask = people.mask(rows)
        parts.append(rows.filter(pa.array(mask)))
        rest = rows if not mask.any() else rows.filter(pa.array(~mask))
        for name in names:
            others.setdefault(name, set()).update(pc.unique(rest[name]).to_pylist())
    found = pa.concat_tables(parts)
    own = {text for name in names for text in found[name].to_pylist() if text not in others[name]}
    return Theirs(found, frozenset(own - {None}))


def searched(folder: PipelineHome, fragments: Sequence[Fragment], people: People) -> Iterator[Thinned]:
    """Yield the fragments that hold rows of people; only the columns of their keys are read."""
    for fragment in fragments:
        schema = fragment_schema(fragment)
        names = [name for name in schema.names if name in people.digests]
        keys = pa.schema([schema.field(name) for name in names])
        n_rows = int(people.mask(read_files(folder.rows, fragment.files, keys)).sum()) if names else 0
        quarantined = read_files(folder.quarantine, fragment.quarantine, QUARANTINE)
        n_quarantined = int(people.in_texts(quarantined["row"]).sum())
        if n_rows or n_quarantined:
            yield Thinned(fragment, n_rows, n_quarantined)


def thinned(folder: PipelineHome, found: Thinned, people: People, id: str) -> Thinned:
    """Write the files of a fragment without the rows of people, and return it with those."""
    fragment = found.fragment
    if found.n_rows:
        rows = read_files(folder.rows, fragment.files, fragment_schema(fragment))
        mask = people.mask(rows)
        rest = rows.filter(pa.array(~mask))
        since, until = _ends(fragment, rows, rest)
        fragment = replace(
            fragment,
            files=write_files(folder.rows, f"{fragment.id}-{id}", rest),
            n_kept=rest.num_rows,
            n_erased=fragment.n_erased + int(mask.sum()),
            since=since,
            until=until,
        )
    if found.n_quarantined:
        set_aside = read_files(folder.quarantine, fragment.quarantine, QUARANTINE)
        left = set_aside.filter(pa.array(~people.in_texts(set_aside["row"])))
        files = write_files(folder.quarantine, f"{fragment.id}-{id}", left)
        fragment = replace(fragment, quarantine=files)
    return replace(found, fragment=fragment)


def without(version: DataVersion, changed: Sequence[Thinned]) -> DataVersion:
    """Return a version with its fragments as they are now."""
    by_id = {one.fragment.id: one.fragment for one in changed}
    fragments = tuple(by_id.get(one.id, one) for one in version.fragments)
    return replace(version, fragments=fragments, n_rows=sum(one.n_kept for one in fragments))


def held_again(
    folder: PipelineHome,
    history: Sequence[DataVersion],
    at: datetime,
    on_step: Callable[[str], None],
) -> list[DataVersion]:
    """Give each version a new version of the Delta table, and return them; newest first, as they come.

    The newest table version is that of the newest data version afterwards.
    """
    held = []
    for version in reversed(history):
        schema = stored_schema(version.columns, version.fragments)
        files = [file for one in version.fragments for file in one.files]
        held.append(replace(version, table_version=hold(folder.rows, schema, files, id=version.id, at=at)))
        on_step("held")
    if history and table_exists(folder.quarantine):
        set_aside = [file for one in history[0].fragments for file in one.quarantine]
        hold(folder.quarantine, QUARANTINE, set_aside, id=history[0].id, at=at)
        on_step("quarantine held")
    return held[::-1]


def _ends(fragment: Fragment, rows: pa.Table, rest: pa.Table) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last event time that are left; the column of times is known by its ends."""
    ends = (fragment.since, fragment.until)
    for field in rows.schema:
        if pa.types.is_timestamp(field.type) and _range(rows[field.name]) == ends:
            return _range(rest[field.name])
    return None, None


def _range(times: pa.ChunkedArray) -> tuple[datetime | None, datetime | None]:
    found = pc.min_max(times)
    return found["min"].as_py(), found["max"].as_py()
