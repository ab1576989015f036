"""Profiles that are kept beside the rows: one for each fragment, from which those of versions are merged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain

import numpy as np
import pyarrow as pa

from raypipe.core.files import LOCAL_DISK, storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.threads import in_threads
from raypipe.data.blocks import Block
from raypipe.data.canonical import TYPES
from raypipe.data.fragments import NUMBER_COLUMN, schema_of
from raypipe.data.keys import Mask
from raypipe.data.profile import ColumnProfile, Profile
from raypipe.data.schema import Column
from raypipe.data.table import read_files
from raypipe.data.versions import DataVersion, Fragment


def keep_profile(folder: PipelineHome, fragment: Fragment, rows: pa.Table) -> Profile:
    """Profile the rows of a fragment, and keep that beside them; raises StorageError."""
    profile = Profile.of_table(rows, _typed(fragment))
    write_profile(folder, fragment, profile)
    return profile


def write_profile(folder: PipelineHome, fragment: Fragment, profile: Profile) -> None:
    """Keep the profile of a fragment beside its rows; raises StorageError."""
    text = json.dumps(profile.to_json(), ensure_ascii=False, allow_nan=False)
    path = folder.fragment_profile(fragment.id)
    with storage_errors(path):
        LOCAL_DISK.make_folder(path.parent)
        LOCAL_DISK.write_atomic(path, gzip.compress(text.encode(), compresslevel=1, mtime=0))


def fragment_profile(folder: PipelineHome, fragment: Fragment, columns: Sequence[Column]) -> Profile:
    """Return the profile of a fragment's rows in the columns of a version that holds it."""
    path = folder.fragment_profile(fragment.id)
    try:
        stored = Profile.from_json(json.loads(gzip.decompress(path.read_bytes())))
    except FileNotFoundError:
        schema = schema_of(fragment.columns, _typed(fragment))
        stored = keep_profile(folder, fragment, read_files(folder.rows, fragment.files, schema))
    found = {one.name: one for one in stored.columns}
    return Profile(
        stored.n_rows, tuple(found.get(column.name) or _empty(column, stored.n_rows) for column in columns)
    )


def version_profile(folder: PipelineHome, version: DataVersion) -> Profile:
    """Return the profile of all rows of a version, merged from those of its fragments and kept."""
    path = folder.profile(version.content)
    if path.exists():
        return Profile.from_json(json.loads(path.read_bytes()))
    kept = [fragment for fragment in version.fragments if fragment.n_kept] or version.fragments[:1]
    profile = merged(fragment_profile(folder, fragment, version.columns) for fragment in kept)
    write_json(path, profile.to_json())
    return profile


def profile_of_part(folder: PipelineHome, version: DataVersion, part: pa.Table) -> Profile:
    """Return the profile of a part of a version's rows, read with their NUMBER_COLUMN.

    Fragments that are wholly in it come with the profile that is kept of them; only rows of others are
    profiled. Equal to the bit with the profile of the part itself.
    """
    names = [column.name for column in version.columns]
    numbers = part[NUMBER_COLUMN].to_numpy()
    n_rows = np.bincount(numbers, minlength=len(version.fragments))
    is_whole = np.array([n > 0 and n == one.n_kept for n, one in zip(n_rows, version.fragments, strict=True)])
    profiles = [
        fragment_profile(folder, fragment, version.columns)
        for fragment, whole in zip(version.fragments, is_whole, strict=True)
        if whole
    ]
    rest = part.filter(pa.array(~is_whole[numbers])).select(names)
    if rest.num_rows or not profiles:
        profiles.append(Profile.of_table(rest))
    return merged(profiles)


def profile_of_chosen(
    folder: PipelineHome, version: DataVersion, blocks: Sequence[Block], chosen: Mask
) -> Profile:
    """Return the profile of chosen rows of a version, of which `blocks` are all; as `profile_of_part`.

    Only the blocks of fragments that are not wholly chosen are read, few at a time.
    """
    n_rows = np.zeros(len(version.fragments), np.int64)
    for block in blocks:
        n_rows[block.fragment] += np.count_nonzero(chosen[block.rows])
    is_whole = [n > 0 and n == one.n_kept for n, one in zip(n_rows.tolist(), version.fragments, strict=True)]
    names = [column.name for column in version.columns]

    def of(block: Block) -> Profile:
        rows = block.read(version.columns, names)
        return Profile.of_table(rows.filter(pa.array(chosen[block.rows])))

    parted = [one for one in blocks if not is_whole[one.fragment] and chosen[one.rows].any()]
    known = (
        fragment_profile(folder, fragment, version.columns)
        for fragment, whole in zip(version.fragments, is_whole, strict=True)
        if whole
    )
    return merged(chain(known, in_threads(of, parted)))


def merged(profiles: Iterable[Profile]) -> Profile:
    """Return the profile of all rows together, at least one profile given."""
    return reduce(Profile.merge, profiles)


def _typed(fragment: Fragment) -> list[str]:
    return [column.name for column in fragment.columns if column.name not in fragment.untyped]


def _empty(column: Column, n_rows: int) -> ColumnProfile:
    """Return the profile of a column without any value."""
    described = Column(column.name, column.kind, nullable=True)
    return ColumnProfile.of(described, pa.chunked_array([pa.nulls(n_rows, TYPES[column.kind])]))
