"""Ingesting again and again, as micro-batches: what is new becomes the next version."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raypipe.core.errors import DataError, SourceError
from raypipe.core.files import storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.progress import Progress, Step
from raypipe.data.locks import try_lock
from raypipe.data.versions import DataVersion


def follow(
    ingest: Callable[[], DataVersion],
    stop: threading.Event,
    *,
    newest: str | None,
    every_s: float,
    max_batches: int | None,
    progress: Progress,
) -> int:
    """Ingest every `every_s` seconds until told to stop, and return the number of batches that brought rows.

    `newest` is the version there is already. A batch that has begun comes to its end. A source that cannot be
    read is told of and tried again.
    """
    n_batches = 0
    while not stop.is_set():
        try:
            version = ingest()
        except SourceError as error:
            progress(Step("follow", f"{error} It is tried again in {every_s:g} s."))
        else:
            n_batches += version.id != newest and version.n_read > 0
            newest = version.id
        if max_batches is not None and n_batches >= max_batches:
            break
        stop.wait(every_s)
    return n_batches


@contextmanager
def only_follower(folder: PipelineHome) -> Iterator[None]:
    """Hold the right to follow; raises DataError where another process has it."""
    with storage_errors(folder.follow_lock):
        folder.follow_lock.parent.mkdir(parents=True, exist_ok=True)
        lease = try_lock(folder.follow_lock)
    if lease is None:
        raise DataError(
            f"another process follows the sources of {folder.name} already; end it, or leave it to that one."
        )
    try:
        yield
    finally:
        os.close(lease)
