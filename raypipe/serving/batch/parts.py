"""Parts of an output: each is written whole or not at all, under a name that follows from what it scores.

A folder of scores holds `part-NNNNNN-ID.parquet`, one a piece of the input, in its order; rows that could not
be answered lie in `_rejected/part-NNNNNN-ID.jsonl`, and `_manifest.json` says what all of it is.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from raypipe.core.errors import StorageError
from raypipe.core.files import LOCAL_DISK, Disk, storage_errors
from raypipe.core.ids import Json, sha256_bytes
from raypipe.serving.batch.intake import RejectedRow

REJECTED = "_rejected"
_PART = re.compile(r"part-\d{6,}-[0-9a-f]{12}\.(parquet|jsonl)")
_COUNTS = b"raypipe"


@dataclass(frozen=True)
class Part:
    """What became of a piece: its scores in `file`, and how many of its rows have none."""

    file: str
    sha256: str
    n_scored: int
    n_rejected: int

    def to_json(self) -> dict[str, Json]:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "n_scored": self.n_scored,
            "n_rejected": self.n_rejected,
        }


def part_name(number: int, key: str) -> str:
    """Return the name of the part of a piece, of which `key` is the content id."""
    return f"part-{number:06d}-{key.rpartition('-')[2]}.parquet"


def write_part(
    folder: Path, name: str, scores: pa.Table, rejected: Sequence[RejectedRow], disk: Disk = LOCAL_DISK
) -> Part:
    """Write a part after its rejected rows, so that a part that is there is complete; raises StorageError."""
    sink = io.BytesIO()
    counts = json.dumps({"n_scored": scores.num_rows, "n_rejected": len(rejected)})
    parquet.write_table(scores.replace_schema_metadata({_COUNTS: counts}), sink)
    data = sink.getvalue()
    aside = rejected_file(folder, name)
    with storage_errors(folder):
        disk.make_folder(folder)
        if rejected:
            disk.make_folder(aside.parent)
            lines = (json.dumps(row.to_json(), ensure_ascii=False) for row in rejected)
            disk.write_atomic(aside, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        disk.write_atomic(folder / name, data)
    return Part(name, sha256_bytes(data), scores.num_rows, len(rejected))


def read_part(folder: Path, name: str) -> Part | None:
    """Return a part that was written before, if there is one; raises StorageError for a broken one."""
    path = folder / name
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
        metadata = parquet.read_metadata(io.BytesIO(data))
        counts = json.loads(metadata.metadata[_COUNTS])
        part = Part(name, sha256_bytes(data), counts["n_scored"], counts["n_rejected"])
        if part.n_scored != metadata.num_rows:
            raise ValueError(f"it has {metadata.num_rows} rows, not {part.n_scored}")
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is no part that raypipe wrote, or is damaged: remove it.") from error
    return part


def rejected_file(folder: Path, name: str) -> Path:
    """Return where the rejected rows of a part lie, if there are any."""
    return folder / REJECTED / Path(name).with_suffix(".jsonl").name


def strays(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the parts that are not among `names` with their rejected rows, and what dead writers left."""
    stems = {Path(name).stem for name in names}
    found = [*folder.glob("part-*.parquet"), *(folder / REJECTED).glob("part-*.jsonl")]
    parts = sorted(path for path in found if _PART.fullmatch(path.name) and path.stem not in stems)
    return [*parts, *folder.glob(".*.tmp"), *(folder / REJECTED).glob(".*.tmp")]
