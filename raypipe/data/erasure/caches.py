"""What runs keep to go on with: of versions that lost rows nobody goes on with it, and it goes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from raypipe.core.files import storage_errors
from raypipe.core.home import PipelineHome
from raypipe.data.locks import try_lock
from raypipe.data.scratch import remove_dead

RUN_NAME = "run.json"
LOCK_NAME = ".lock"


def forget_runs(folder: PipelineHome, versions: Collection[str], on_step: Callable[[str], None]) -> None:
    """Delete what runs on these data versions keep, model versions in the making, and what dead runs left.

    A run that is under way keeps its folder: it notices before it registers, and a later erasure deletes it.
    The turn must be held, in which models are made.
    """
    with storage_errors(folder.root):
        for path in sorted(folder.runs.glob("*/")):
            if _data_of(path) in versions and (lock := try_lock(path / LOCK_NAME)) is not None:
                shutil.rmtree(path)
                os.close(lock)
                on_step("run forgotten")
        shutil.rmtree(folder.staging, ignore_errors=True)
        on_step("staging emptied")
        remove_dead(folder.scratch)
        on_step("scratch emptied")


def _data_of(path: Path) -> str | None:
    try:
        return str(json.loads((path / RUN_NAME).read_bytes())["data"])
    except (FileNotFoundError, ValueError, KeyError):
        return None
