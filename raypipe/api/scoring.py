"""Batch scoring as a person asks for it: which version, which rows, where to, and on what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raypipe.config.settings import Config
from raypipe.core.errors import UnknownVersion
from raypipe.core.progress import Progress, silent
from raypipe.registry.store import Registry
from raypipe.serving.pointer import Pointer
from raypipe.serving.releases import CHAMPION

if TYPE_CHECKING:
    from raypipe.data.sinks import Sink
    from raypipe.registry.values import ModelVersion
    from raypipe.serving.batch.job import ScoreJob
    from raypipe.serving.batch.places import Place
    from raypipe.serving.batch.run import Compute, ListedPieces, Scored

On = Literal["auto", "local", "ray"]
MANY_BYTES = 2_000_000_000
"""So much of an input, in several pieces, is scored over Ray also where none is up yet."""


def named_version(config: Config, registry: Registry, name: str) -> ModelVersion:
    """Return a version by its name or by an alias of it; raises UnknownVersion."""
    aliases = registry.aliases(config.name)
    if name == CHAMPION and name not in aliases:
        raise UnknownVersion(f"{config.name} has no champion yet; run the pipeline, or promote a version.")
    return registry.model_version(config.name, aliases.get(name, name))


def job_of(config: Config, registry: Registry, place: Place, version: str, keep: Sequence[str]) -> ScoreJob:
    """Return what is to be scored by what; raises UnknownVersion and ConfigError."""
    from raypipe.data.sources.opened import kinds_of
    from raypipe.serving.batch.job import ScoreJob
    from raypipe.serving.batch.places import settings_of

    found = named_version(config, registry, version)
    pointer = Pointer(found.version, found.manifest_sha256, 0)
    return ScoreJob(config.folder, pointer, settings_of(place), kinds_of(config.data), tuple(keep))


def score_to_folder(
    config: Config, job: ScoreJob, output: Path, *, on: On = "auto", progress: Progress = silent
) -> Scored:
    """Score all rows into a folder, going on where an earlier call ended; raises RaypipeError.

    `on` says where: in this process, over Ray Data, or by what is up and how much there is.
    """
    from raypipe.serving.batch.run import list_pieces, score

    listed = list_pieces(job, output, progress)
    with _compute(config, listed, on) as compute:
        return score(job, listed, output, compute, progress)


def score_to_sink(job: ScoreJob, sink: Sink, *, progress: Progress = silent) -> Scored:
    """Send the scores of all rows to a sink; raises RaypipeError."""
    from raypipe.serving.batch import to_sink

    return to_sink.score_to_sink(job, sink, progress)


@contextmanager
def _compute(config: Config, listed: ListedPieces, on: On) -> Iterator[Compute]:
    from raypipe.serving.batch.run import here

    if on == "local" or (on == "auto" and not _wants_ray(config, listed)):
        yield here
        return
    from raypipe.runtime.session import session

    with session(config.cluster, config.root):
        from raypipe.serving.batch.on_ray import over_ray

        yield over_ray


def _wants_ray(config: Config, listed: ListedPieces) -> bool:
    """Whether several pieces are missing, and a Ray is up for them or they are many."""
    from raypipe.runtime.status import status

    missing = listed.missing
    if len(missing) < 2:
        return False
    is_up = config.cluster.address is not None or status(config.root).state == "running"
    return is_up or sum(one.piece.n_bytes for one in missing) >= MANY_BYTES
