"""One at a time: whoever changes the data versions of a pipeline waits for whoever does so now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from raypipe.core.files import storage_errors
from raypipe.core.home import PipelineHome
from raypipe.core.progress import Progress, Step
from raypipe.data.locks import locked, try_lock


@contextmanager
def turn(folder: PipelineHome, progress: Progress) -> Iterator[None]:
    """Hold the pipeline's data versions; say so before waiting for another process."""
    with storage_errors(folder.ingest_lock):
        folder.ingest_lock.parent.mkdir(parents=True, exist_ok=True)
        lease = try_lock(folder.ingest_lock)
    if lease is None:
        progress(Step("collect", f"waiting until another process has ended its ingest of {folder.name}"))
        with locked(folder.ingest_lock):
            yield
        return
    try:
        yield
    finally:
        os.close(lease)
