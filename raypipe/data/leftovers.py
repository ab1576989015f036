"""Files of a pipeline's data that nothing names any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from raypipe.core.files import fsync_folder, storage_errors
from raypipe.core.home import PipelineHome
from raypipe.data.keys import unneeded_key_files
from raypipe.data.table import held_files
from raypipe.data.versions import Fragment


def leftovers(folder: PipelineHome, fragments: Iterable[Fragment], contents: Collection[str]) -> list[Path]:
    """Return the files that neither these fragments nor versions of these contents need, in order.

    What the newest version of a Delta table names stays as well, for whoever reads the table as such.
    """
    known = list(fragments)
    ids = {one.id for one in known}
    return [
        *_unnamed(folder.rows, {name for one in known for name in one.files}),
        *_unnamed(folder.quarantine, {name for one in known for name in one.quarantine}),
        *_others(folder.fragment_profile("f").parent, ids, contents),
        *unneeded_key_files(folder, known),
    ]


def remove(paths: Sequence[Path], on_step: Callable[[str], None] = lambda _: None) -> None:
    """Delete files for good; `on_step` hears of each. Raises StorageError."""
    for path in paths:
        with storage_errors(path):
            path.unlink(missing_ok=True)
        on_step("deleted")
    for place in {path.parent for path in paths}:
        fsync_folder(place)


def _unnamed(table: Path, named: set[str]) -> list[Path]:
    held = held_files(table)
    return [path for path in sorted(table.glob("*.parquet")) if path.name not in named | held]


def _others(place: Path, fragments: set[str], contents: Collection[str]) -> list[Path]:
    return [
        path
        for path in sorted(place.glob("*.json*"))
        if not path.name.startswith(".")
        and path.name.split(".")[0] not in (fragments if path.suffix == ".gz" else contents)
    ]
