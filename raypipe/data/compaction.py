"""Many small fragments into few larger ones, without a change of the rows, their order, or a version's id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from raypipe.core.home import PipelineHome
from raypipe.core.ids import content_id, sha256_bytes
from raypipe.data.fragments import QUARANTINE, columns_of, fragment_schema, store
from raypipe.data.profiles import fragment_profile, merged, write_profile
from raypipe.data.schema import Column
from raypipe.data.table import read_files
from raypipe.data.versions import Fragment, total_broken

SMALL_ROWS = 200_000
"""A fragment of fewer rows may be merged with its neighbours."""
N_SMALL = 64
"""So many small neighbours of one source stay as they are."""


def compacted(
    folder: PipelineHome,
    fragments: Sequence[Fragment],
    *,
    n_small: int = N_SMALL,
    small_rows: int = SMALL_ROWS,
) -> list[Fragment]:
    """Merge runs of more than `n_small` small neighbours into fragments of about `small_rows` rows.

    The fragments must be stored in the types of one version. Raises StorageError.
    """
    found: list[Fragment] = []
    for (_, _, is_small), run in groupby(
        fragments, lambda one: (one.source, one.recipe, one.n_kept < small_rows)
    ):
        members = list(run)
        if is_small and len(members) > n_small:
            for group in _groups(members, small_rows):
                found.append(_merged(folder, group) if len(group) > 1 else group[0])
        else:
            found.extend(members)
    return found


def _groups(members: Sequence[Fragment], small_rows: int) -> Iterator[list[Fragment]]:
    """Yield neighbours that together have just `small_rows` rows, and at the end those that are left."""
    group: list[Fragment] = []
    n_rows = 0
    for one in members:
        group.append(one)
        n_rows += one.n_kept
        if n_rows >= small_rows:
            yield group
            group, n_rows = [], 0
    if group:
        yield group


def _merged(folder: PipelineHome, members: Sequence[Fragment]) -> Fragment:
    described = _described(members)
    rows = read_files(
        folder.rows, [file for one in members for file in one.files], fragment_schema(described)
    )
    set_aside = [file for one in members for file in one.quarantine]
    stored = store(folder, described, rows, read_files(folder.quarantine, set_aside, QUARANTINE))
    kept = [one for one in members if one.n_kept]
    if kept:
        typed = [column for column in described.columns if column.name not in described.untyped]
        write_profile(folder, stored, merged(fragment_profile(folder, one, typed) for one in kept))
    return stored


def _described(members: Sequence[Fragment]) -> Fragment:
    """Return the record of members that are one fragment from now on."""
    first, last = members[0], members[-1]
    columns, untyped, widened = _types(members)
    id = content_id("f", {"merged": [one.id for one in members]})
    digests = [digest for one in members for digest in one.digests]
    times = [time for one in members for time in (one.since, one.until) if time is not None]
    return replace(
        first,
        id=id,
        key=id,
        path=f"{first.path} to {last.path}",
        sha256=sha256_bytes("".join(digests).encode()),
        n_bytes=sum(one.n_bytes for one in members),
        n_rows=sum(one.n_rows for one in members),
        n_kept=sum(one.n_kept for one in members),
        n_bad=sum(one.n_bad for one in members),
        n_unlabelled=sum(one.n_unlabelled for one in members),
        broken=total_broken(members),
        columns=columns,
        untyped=untyped,
        widened=widened,
        unread=tuple(dict.fromkeys(name for one in members for name in one.unread)),
        since=min(times, default=None),
        until=max(times, default=None),
        position=last.position,
        after=first.after,
        n_pieces=sum(one.n_pieces for one in members),
        # What is listed anew each time is compared piece by piece; what is appended goes on after the last.
        pieces=tuple(digests) if last.position is None else (),
        n_erased=sum(one.n_erased for one in members),
    )


def _types(members: Sequence[Fragment]) -> tuple[tuple[Column, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the columns as they are stored, those of them without a type, and those widened."""
    native = columns_of(members)
    untyped = tuple(one.name for one in native if all(one.name in member.untyped for member in members))
    stored = {
        column.name: column.kind
        for member in members
        for column in member.columns
        if column.name not in member.untyped
    }
    columns = tuple(replace(one, kind=stored.get(one.name, one.kind)) for one in native)
    widened = tuple(
        sorted(one.name for one in native if (one.kind, stored.get(one.name)) == ("integer", "number"))
    )
    return columns, untyped, widened
