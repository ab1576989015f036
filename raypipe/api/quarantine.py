"""The quarantine of a pipeline: rows that broke the contract, to look at, to mend, and to take in again.

A version is named by its id; None names the newest. Functions raise UnknownVersion for an id that is none,
and DataError where rows are gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.api.data import PipelineData

if TYPE_CHECKING:
    from raypipe.data.quarantine import Group, SetAside
    from raypipe.data.readmitted import Readmitted


def groups(data: PipelineData, version: str | None = None) -> tuple[Group, ...]:
    """Return how many rows are set aside in a version, by source and rule."""
    from raypipe.data.quarantine import groups as grouped
    from raypipe.data.readmitted import readmitted_ids

    return grouped(rows(data, version), readmitted_ids(data.config.folder))


def rows(
    data: PipelineData, version: str | None = None, *, rule: str | None = None, source: str | None = None
) -> tuple[SetAside, ...]:
    """Return the rows that are set aside in a version: all, or of a source, or whose rule holds a text."""
    from raypipe.data.quarantine import set_aside_rows

    return tuple(
        one
        for one in set_aside_rows(data.config.folder, data.version(version))
        if (rule is None or any(rule in text for text in one.rules)) and source in (None, one.source)
    )


def export(
    data: PipelineData,
    file: Path,
    version: str | None = None,
    *,
    rule: str | None = None,
    source: str | None = None,
) -> int:
    """Write the same rows as `rows` to a file that ends in .csv or .jsonl; raises StorageError."""
    from raypipe.data.quarantine import export as write

    return write(rows(data, version, rule=rule, source=source), file)


def readmit(data: PipelineData, file: Path) -> Readmitted:
    """Check the mended rows of a file, and keep those that pass for the next data version.

    Raises DataError for a file that cannot be read so, StorageError.
    """
    from raypipe.data.quarantine import read_mended
    from raypipe.data.readmitted import readmit as take_in
    from raypipe.data.turns import turn

    mended = read_mended(file)
    with turn(data.config.folder, data.progress):
        return take_in(data.config.folder, data.config.data, data.version(), mended)
