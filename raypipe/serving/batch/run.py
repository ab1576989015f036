"""A job from its first piece to its manifest; begun again, it does what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from raypipe.core.errors import ConfigError, RunUnderWay
from raypipe.core.files import storage_errors, write_json
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.locks import try_lock
from raypipe.serving.batch.job import NumberedPiece, ScoreJob, Scorer
from raypipe.serving.batch.parts import Part, part_name, read_part, strays

MANIFEST = "_manifest.json"
Made: TypeAlias = "tuple[int, Part]"
"""The number of a piece, and its part."""
Compute: TypeAlias = Callable[[ScoreJob, Sequence[NumberedPiece], Path], Iterator[Made]]
"""Scores pieces, and yields each as it is done, in any order."""


@dataclass(frozen=True)
class Scored:
    """What a job came to."""

    output: str
    version: str
    parts: tuple[Part, ...]
    """One a piece of the input; without a file where the output is a topic."""
    n_before: int
    """How many parts were there when it began."""
    n_removed: int
    """How many parts were removed, as the input no longer holds what they scored."""

    @property
    def n_rows(self) -> int:
        return self.n_scored + self.n_rejected

    @property
    def n_scored(self) -> int:
        return sum(part.n_scored for part in self.parts)

    @property
    def n_rejected(self) -> int:
        return sum(part.n_rejected for part in self.parts)

    def to_json(self) -> dict[str, Json]:
        return {
            "output": self.output,
            "version": self.version,
            "n_rows": self.n_rows,
            "n_scored": self.n_scored,
            "n_rejected": self.n_rejected,
            "n_parts": len(self.parts),
            "n_before": self.n_before,
            "n_removed": self.n_removed,
        }


@dataclass(frozen=True)
class ListedPieces:
    """The pieces of an input, and the parts that are there already."""

    pieces: tuple[NumberedPiece, ...]
    parts: dict[int, Part]

    @property
    def missing(self) -> tuple[NumberedPiece, ...]:
        return tuple(one for one in self.pieces if one.number not in self.parts)


def here(job: ScoreJob, pieces: Sequence[NumberedPiece], output: Path) -> Iterator[Made]:
    """Score pieces in this process, one after the other."""
    scorer = Scorer(job)
    for one in pieces:
        yield one.number, scorer(one, output)


def list_pieces(job: ScoreJob, output: Path, progress: Progress = silent) -> ListedPieces:
    """List what there is to do; raises SourceError, and ConfigError where the output is another job's."""
    _check_output(job, output)
    progress(Step("score", "listing the input"))
    pieces = tuple(
        NumberedPiece(number, piece) for number, piece in enumerate(Scorer(job).source.pieces(None))
    )
    parts: dict[int, Part] = {}
    for one in pieces:
        if one.piece.digest is not None:
            found = read_part(output, part_name(one.number, job.key(one.piece.digest)))
            if found is not None:
                parts[one.number] = found
    return ListedPieces(pieces, parts)


def score(
    job: ScoreJob, listed: ListedPieces, output: Path, compute: Compute = here, progress: Progress = silent
) -> Scored:
    """Score the pieces that are missing, and write the manifest; raises RaypipeError.

    Killed at any moment and begun again it comes to the same folder. Raises RunUnderWay where another process
    writes into it.
    """
    with _turn(output):
        return _score(job, listed, output, compute, progress)


def _score(job: ScoreJob, listed: ListedPieces, output: Path, compute: Compute, progress: Progress) -> Scored:
    write_json(output / MANIFEST, {**_head(job), "is_complete": False})
    parts = dict(listed.parts)
    n_all = len(listed.pieces)
    if listed.parts:
        progress(Step("score", f"{len(parts):,} of {n_all:,} parts were there before", len(parts) / n_all))
    for number, part in compute(job, listed.missing, output):
        parts[number] = part
        progress(Step("score", f"{sum(one.n_scored for one in parts.values()):,} rows", len(parts) / n_all))
    ordered = [parts[one.number] for one in listed.pieces]
    n_removed = _removed(output, [part.file for part in ordered])
    done = Scored(str(output), job.pointer.version, tuple(ordered), len(listed.parts), n_removed)
    write_json(output / MANIFEST, _manifest(job, listed, done))
    return done


@contextmanager
def _turn(output: Path) -> Iterator[None]:
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        lock = try_lock(output / ".lock")
    if lock is None:
        raise RunUnderWay(f"another process scores into {output}: wait for it, or choose another folder.")
    try:
        yield
    finally:
        os.close(lock)


def _check_output(job: ScoreJob, output: Path) -> None:
    path = output / MANIFEST
    if output.is_dir() and not path.exists() and any(one.name != ".lock" for one in output.iterdir()):
        raise ConfigError(f"--to must be a folder of scores, or a new or empty one. Got {str(output)!r}.")
    if not path.exists():
        return
    try:
        known = json.loads(path.read_bytes())
        is_ours = known["job"] == job.id
        said = f"{known['version']}, --keep {' '.join(known['keep']) or 'nothing'}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): choose another folder.") from error
    if not is_ours:
        raise ConfigError(f"{output} holds other scores ({said}): choose another folder, or remove this one.")


def _removed(output: Path, names: Sequence[str]) -> int:
    """Remove what dead writers left, and parts of pieces that the input no longer holds; count these."""
    found = strays(output, names)
    with storage_errors(output):
        for path in found:
            path.unlink(missing_ok=True)
    return sum(path.suffix == ".parquet" for path in found)


def _head(job: ScoreJob) -> dict[str, Json]:
    return {
        "job": job.id,
        "pipeline": job.folder.name,
        "version": job.pointer.version,
        "manifest_sha256": job.pointer.manifest_sha256,
        "keep": list(job.keep),
    }


def _manifest(job: ScoreJob, listed: ListedPieces, done: Scored) -> Json:
    parts: list[Json] = [
        {"piece": one.piece.name, **part.to_json()}
        for one, part in zip(listed.pieces, done.parts, strict=True)
    ]
    counts: dict[str, Json] = {
        "n_rows": done.n_rows,
        "n_scored": done.n_scored,
        "n_rejected": done.n_rejected,
    }
    return {**_head(job), "is_complete": True, **counts, "parts": parts}
