"""The contract beside the rows of a pipeline: to check them, and to have rules proposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raypipe.api.data import PipelineData

if TYPE_CHECKING:
    from raypipe.data.checking import Findings
    from raypipe.data.suggesting import Suggestion


def check(data: PipelineData, paths: Sequence[str] = (), version: str | None = None) -> Findings:
    """Tell what breaks the contract, of the sources now, of files at `paths`, or of a data version.

    Nothing is written. Raises ConfigError, SourceError, SchemaError and DataError, and UnknownVersion for an
    id that is none.
    """
    from raypipe.core.errors import ConfigError
    from raypipe.data.checking import check_sources, check_version

    if paths and version is not None:
        raise ConfigError("PATHS and --version must not be given together.")
    settings, now, history = data.config.data, data.clock.now(), data.versions()
    if version is not None:
        return check_version(data.config.folder, data.version(version), settings, now=now, history=history)
    return check_sources(settings, now=now, history=history, paths=paths, progress=data.progress)


def suggest(data: PipelineData, version: str | None = None) -> Suggestion:
    """Propose a contract that all rows of a data version keep, by default of the newest.

    Raises UnknownVersion for an id that is none, DataError where its rows are gone.
    """
    from raypipe.data.suggesting import suggest as suggest_rules

    return suggest_rules(data.config.folder, data.version(version), data.config.data)
