"""Which rows two data versions do not share, counted by hashes that are parted on disk.

Rows of fragments that both versions hold are not read. Of the others each row becomes a hash of 64 bits, or
two where a key names rows; both sides are parted by hash into files, and then compared file by file, so that
memory follows from the size of one part. Two different rows have equal hashes with a chance of 2**-64.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from raypipe.core.errors import ConfigError
from raypipe.core.files import storage_errors
from raypipe.core.home import PipelineHome
from raypipe.data.fragments import schema_of
from raypipe.data.names import suggest
from raypipe.data.schema import Column
from raypipe.data.table import scan_files
from raypipe.data.versions import DataVersion, Fragment

PART_ROWS = 2_000_000
"""About so many rows of both sides are compared at a time."""
_KEY_SEED, _ROW_SEED = 1, 2
_N_HASHES = 2
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class RowDifferences:
    """How many rows two versions share and do not; equal rows count as often as they are there.

    A changed row is one whose key both have, with other values: with a key it is not counted as added and
    removed. Without one, nobody can tell.
    """

    n_equal: int
    n_added: int
    n_removed: int
    n_changed: int | None
    """None without a key."""
    n_in_shared_fragments: int
    """Of the equal rows: those that were not read, since both versions hold the same files."""
    key: tuple[str, ...]
    compared: tuple[str, ...]
    """The columns by which rows are compared: those that both versions have in types that go together."""


def row_differences(
    folder: PipelineHome,
    before: DataVersion,
    after: DataVersion,
    columns: Sequence[Column],
    *,
    key: Sequence[str] = (),
    part_rows: int = PART_ROWS,
) -> RowDifferences:
    """Compare the rows of two versions in these columns, which both must have.

    Raises ConfigError for a key that is none of them, DataError where rows are gone.
    """
    names = [column.name for column in columns]
    for name in key:
        if name not in names:
            raise ConfigError(
                f"the key must name columns that both versions have. Got {name!r}; {suggest(name, names)}"
            )
    if not names:
        return RowDifferences(0, after.n_rows, before.n_rows, None, 0, (), ())
    shared = _shared(before, after) if _alike(before, after) else Counter[str]()
    rest = [_without(one, shared) for one in (before, after)]
    n_shared = before.n_rows - sum(one.n_kept for one in rest[0])
    n_parts = 1 + sum(one.n_kept for side in rest for one in side) // part_rows
    found = np.zeros(4, np.int64)
    place = folder.rows.parent
    with storage_errors(place), tempfile.TemporaryDirectory(prefix=".diff-", dir=place) as scratch:
        parts = [
            _parted(folder, side, columns, key, Path(scratch) / str(number), n_parts)
            for number, side in enumerate(rest)
        ]
        for first, last in zip(*parts, strict=True):
            found += _compared(_read(first), _read(last))
    n_equal, n_added, n_removed, n_changed = found.tolist()
    return RowDifferences(
        n_shared + n_equal, n_added, n_removed, n_changed if key else None, n_shared, tuple(key), tuple(names)
    )


def _alike(before: DataVersion, after: DataVersion) -> bool:
    """Whether equal files are equal rows: a column that only one version has is compared in none."""
    return {one.name for one in before.columns} == {one.name for one in after.columns}


def _shared(before: DataVersion, after: DataVersion) -> Counter[str]:
    return Counter(one.id for one in before.fragments) & Counter(one.id for one in after.fragments)


def _without(version: DataVersion, shared: Counter[str]) -> list[Fragment]:
    left = shared.copy()
    rest = []
    for fragment in version.fragments:
        if left[fragment.id]:
            left[fragment.id] -= 1
        else:
            rest.append(fragment)
    return rest


def _parted(
    folder: PipelineHome,
    fragments: Iterable[Fragment],
    columns: Sequence[Column],
    key: Sequence[str],
    place: Path,
    n_parts: int,
) -> list[Path]:
    """Write the hashes of key and row of each row into the part that the key's hash names."""
    paths = [place.with_name(f"{place.name}-{number}") for number in range(n_parts)]
    schema = schema_of(columns, [column.name for column in columns])
    files = [file for one in fragments for file in one.files]
    for path in paths:
        path.touch()
    for batch in scan_files(folder.rows, files, schema):
        hashes = _hashes(pl.DataFrame(pl.from_arrow(batch)), key)
        parts = (hashes[:, 0] % np.uint64(n_parts)).astype(np.int64)
        for number in np.unique(parts).tolist():
            with paths[number].open("ab") as file:
                file.write(hashes[parts == number].tobytes())
    return paths


def _hashes(frame: pl.DataFrame, key: Sequence[str]) -> Hashes:
    # -0.0 equals 0.0, and NaN itself, whatever bits they have.
    rows = frame.hash_rows(seed=_ROW_SEED).to_numpy()
    keys = frame.select(key).hash_rows(seed=_KEY_SEED).to_numpy() if key else rows
    return np.column_stack([keys, rows])


def _read(path: Path) -> Hashes:
    found = np.fromfile(path, np.uint64).reshape(-1, _N_HASHES)
    path.unlink()
    return found


def _compared(before: Hashes, after: Hashes) -> npt.NDArray[np.int64]:
    """Return the rows that are equal, added, removed, and changed, of parts with the same keys."""
    sides = [
        pl.DataFrame({"key": side[:, 0], "row": side[:, 1]}).group_by("key", "row").len(name)
        for name, side in (("before", before), ("after", after))
    ]
    rows = sides[0].join(sides[1], on=["key", "row"], how="full", coalesce=True).fill_null(0)
    equal = pl.min_horizontal("before", "after")
    keys = rows.group_by("key").agg(
        pl.col("before").sub(equal).sum(), pl.col("after").sub(equal).sum(), equal.sum().alias("equal")
    )
    changed = pl.min_horizontal("before", "after")
    counts = keys.select(
        equal=pl.col("equal").sum(),
        added=(pl.col("after") - changed).sum(),
        removed=(pl.col("before") - changed).sum(),
        changed=changed.sum(),
    )
    return np.array(counts.row(0), np.int64)
