"""The keys of stored rows as sorted digests on disk, so that a key is found without holding all of them.

Each fragment has files of its own, runs of at most RUN_ROWS digests of 128 bits with the places of their
rows, which are mapped into memory and searched. They follow from the fragment's rows: where a file is absent
it is made from them, so that one that was lost, or never written, costs time and nothing else. Digests are
salted with a secret of the pipeline's; two different keys share one with a chance of about 2**-128.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from raypipe.core.files import LOCAL_DISK, make_durable_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.ids import content_id
from raypipe.data.schema import Column
from raypipe.data.versions import Fragment

RUN_ROWS = 2 * 1024 * 1024
Digests: TypeAlias = npt.NDArray[np.uint64]
Places: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
_BYTES = 8
_SALT_BYTES = 16
_PROBE = pl.DataFrame({"text": ["a"], "number": [0.5], "integer": [1]})


def digests_of(rows: pl.DataFrame, salt: Sequence[int]) -> pl.DataFrame:
    """Return a digest of each row in two halves, the columns `first` and `second`."""
    return pl.DataFrame({"first": rows.hash_rows(seed=salt[0]), "second": rows.hash_rows(seed=salt[1])})


@dataclass(frozen=True)
class Run:
    """Digests in two halves, sorted, and the places in their fragment of the rows they are of."""

    first: Digests
    second: Digests
    place: Places

    @classmethod
    def of(cls, keys: pl.DataFrame, start: int, salt: Sequence[int]) -> Run:
        """Return the run of rows counted from `start`, but for those that miss a part of the key."""
        present = pl.all_horizontal(_present(name, dtype) for name, dtype in keys.schema.items())
        numbered = keys.with_row_index("_at", start).filter(present)
        digests = digests_of(numbered.drop("_at"), salt).with_columns(place=numbered["_at"].cast(pl.Int64))
        digests = digests.sort("first", "second", maintain_order=True)
        return cls(*(digests[name].to_numpy() for name in ("first", "second", "place")))

    def __len__(self) -> int:
        return len(self.first)

    def repeated(self) -> Mask:
        """Return which keys a row before in this run has."""
        found = np.zeros(len(self), dtype=bool)
        found[1:] = (self.first[1:] == self.first[:-1]) & (self.second[1:] == self.second[:-1])
        return found

    def holds(self, other: Run) -> Mask:
        """Return which keys of another run are here."""
        if not len(self):
            return np.zeros(len(other), dtype=bool)
        at = np.searchsorted(self.first, other.first)
        while True:
            near = np.minimum(at, len(self) - 1)
            alike = (self.first[near] == other.first) & (at < len(self))
            smaller = alike & (self.second[near] < other.second)
            if not smaller.any():
                found: Mask = alike & (self.second[near] == other.second)
                return found
            at[smaller] += 1

    def to_bytes(self) -> bytes:
        """Return what `open_run` maps."""
        return b"".join(
            np.ascontiguousarray(part).tobytes() for part in (self.first, self.second, self.place)
        )


def open_run(path: Path) -> Run:
    """Map a run's file into memory; only what is looked at is read."""
    n_keys = path.stat().st_size // (3 * _BYTES)
    if not n_keys:
        return Run(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))
    parts = np.memmap(path, np.uint64, mode="r", shape=(3, n_keys))
    return Run(parts[0], parts[1], parts[2].view(np.int64))


class KeyStore:
    """The keys of one set of columns. `place` is the folder of all key stores of a pipeline."""

    def __init__(self, place: Path, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._salt = salt_of(place)
        self.id = content_id("k", [[one.name, one.kind] for one in columns] + [_probe(self._salt)])
        """Another one where another version of polars hashes otherwise."""
        self.folder = place / self.id

    def digests(self, keys: pl.DataFrame) -> Run:
        """Return the run of keys in the types of a version, such as of rows to look for."""
        return Run.of(keys.select(self._names), 0, self._salt)

    def runs(self, name: str, n_rows: int, batches: Iterable[pl.DataFrame]) -> list[Run]:
        """Return the runs that are kept under a name for so many rows.

        `batches`, the rows in order and in the types of a version, make them where they are absent. Raises
        StorageError, and what reading the batches raises.
        """
        files = [self.folder / f"{name}-{number:05d}.run" for number in range(-(-n_rows // RUN_ROWS))]
        if not all(file.exists() for file in files):
            with storage_errors(self.folder):
                make_durable_folder(self.folder)
                for number, part in enumerate(_sized(batches)):
                    run = Run.of(part.select(self._names), number * RUN_ROWS, self._salt)
                    LOCAL_DISK.write_atomic(files[number], run.to_bytes())
        return [open_run(file) for file in files]

    @property
    def _names(self) -> list[str]:
        return [one.name for one in self.columns]


def keys_name(fragment: Fragment) -> str:
    """Return the name under which the keys of a fragment are kept: another one for other rows."""
    return content_id("f", [fragment.id, list(fragment.files)])


def key_files(folder: PipelineHome, fragments: Iterable[Fragment]) -> list[Path]:
    """Return all files that hold keys of these fragments as they are.

    Whoever rewrites the rows of a fragment deletes those of the fragment as it was.
    """
    names = {keys_name(one) for one in fragments}
    return [path for path in _run_files(folder) if _name(path) in names]


def unneeded_key_files(folder: PipelineHome, fragments: Iterable[Fragment]) -> list[Path]:
    """Return all files that hold keys of other fragments than these."""
    names = {keys_name(one) for one in fragments}
    return [path for path in _run_files(folder) if _name(path) not in names]


def _run_files(folder: PipelineHome) -> list[Path]:
    return sorted(folder.keys.glob("k-*/*.run"))


def _name(file: Path) -> str:
    return file.name.rsplit("-", 1)[0]


def _sized(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the same rows in frames of RUN_ROWS, but for the last."""
    waiting: list[pl.DataFrame] = []
    n_rows = 0
    for batch in batches:
        waiting.append(batch)
        n_rows += batch.height
        while n_rows >= RUN_ROWS:
            whole = pl.concat(waiting)
            yield whole.head(RUN_ROWS)
            waiting, n_rows = [whole.slice(RUN_ROWS)], n_rows - RUN_ROWS
    if n_rows:
        yield pl.concat(waiting)


def _present(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    return value.is_not_null() & value.is_not_nan() if dtype.is_float() else value.is_not_null()


def salt_of(place: Path) -> tuple[int, int]:
    """Return the pipeline's secret, made where there is none yet; without it the digests tell nothing."""
    file = place / "salt"
    with storage_errors(place):
        make_durable_folder(place)
        if not file.exists():
            LOCAL_DISK.write_atomic(file, secrets.token_bytes(_SALT_BYTES))
            file.chmod(0o600)
        salt = file.read_bytes()
    half = _SALT_BYTES // 2
    return int.from_bytes(salt[:half], "big"), int.from_bytes(salt[half:], "big")


def _probe(salt: Sequence[int]) -> int:
    return int(_PROBE.hash_rows(seed=salt[0])[0])
