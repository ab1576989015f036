"""`pipeline.data`: the data versions of a pipeline, to read, compare and clear away."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raypipe.config.settings import Config
from raypipe.core.clock import Clock
from raypipe.core.errors import UnknownVersion
from raypipe.core.progress import Progress, silent
from raypipe.data.versions import DataVersion, readable
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import Registry

if TYPE_CHECKING:
    import pyarrow as pa

    from raypipe.data.diff import VersionDiff
    from raypipe.data.erasure.erase import Erased
    from raypipe.data.erasure.rows import Theirs
    from raypipe.data.retention import Collected


@dataclass(frozen=True)
class PipelineData:
    """The data versions of one pipeline. A version is named by its id; None names the newest.

    Methods raise UnknownVersion for an id that is none, and DataError, with one sentence, where the rows of a
    version are gone.
    """

    config: Config
    registry: Registry
    clock: Clock
    progress: Progress = silent

    def versions(self) -> tuple[DataVersion, ...]:
        """Return all versions, newest first, also those whose rows were removed."""
        return self.registry.data_versions(self.config.name)

    def version(self, id: str | None = None) -> DataVersion:
        """Return a version whose rows are there."""
        versions = self.versions()
        if id is None and not versions:
            raise UnknownVersion(f"{self.config.name} has no data version yet; `raypipe ingest` makes one.")
        return readable(versions, versions[0].id if id is None else id)

    def rows(self, version: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of any version as an Arrow table, in order; all in memory at once."""
        from raypipe.data.fragments import read_rows

        return read_rows(self.config.folder, self.version(version), columns)

    def batches(
        self, version: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the same rows as `rows` in batches, so that few are in memory at a time."""
        from raypipe.data.fragments import scan_rows

        return scan_rows(self.config.folder, self.version(version), columns)

    def diff(self, before: str, after: str, *, key: Sequence[str] | None = None) -> VersionDiff:
        """Compare two versions: columns, rows, and how the values of each column moved.

        `key` names the columns that together name a row, by default `data.key`. Raises ConfigError for a key
        that is no column of both.
        """
        from raypipe.data.diff import diff

        found = self.config.data.key if key is None else key
        return diff(self.config.folder, self.version(before), self.version(after), key=found)

    def explore(self, version: str | None = None) -> str:
        """Return a page of HTML about a version, made from its kept profile without reading rows.

        Where a model learned from the version, the page tells its parts too, and draws the training rows
        beside all rows.
        """
        from raypipe.api.parts import parts_of
        from raypipe.data.explore.page import Subject, render
        from raypipe.data.profiles import version_profile

        found, data = self.version(version), self.config.data
        return render(
            Subject(
                self.config.name,
                found,
                version_profile(self.config.folder, found),
                label=data.label_name,
                time=data.time,
                parts=parts_of(self.config, self.registry, found),
            )
        )

    def collect_garbage(self, *, dry_run: bool = False) -> Collected:
        """Remove the versions that `data.retention` does not keep, with all files that no other needs.

        The newest version stays, and those that a model or an unfinished run names. With `dry_run` nothing is
        removed. Raises StorageError.
        """
        from raypipe.data.retention import collect_garbage

        return collect_garbage(
            self.config.folder,
            self._versions,
            self.config.data.retention,
            self._pins,
            clock=self.clock,
            dry_run=dry_run,
            progress=self.progress,
        )

    def erase(
        self,
        keys: Mapping[str, Collection[str | int | float]],
        *,
        predictions: Collection[str] = (),
        reason: str,
        dry_run: bool = False,
    ) -> Erased:
        """Erase the rows of people from everything that is kept, and let none of theirs in any more.

        `keys` gives for columns the values that name their rows (`{"mail": ["ann@example.org"]}`), and
        `predictions` ids of captured answers. `reason` is kept with each version that held such rows; who
        they were is not. With `dry_run` rows are counted and nothing is erased. Raises ConfigError for a key
        of no column, StorageError.
        """
        from raypipe.data.erasure.erase import erase
        from raypipe.data.erasure.people import PREDICTION, Key
        from raypipe.serving.amending import amend

        found = erase(
            self.config.folder,
            self._versions,
            [
                *(Key(column, _written(value)) for column, values in keys.items() for value in values),
                *(Key(PREDICTION, id) for id in predictions),
            ],
            reason=reason,
            secret=secrets.token_hex(32),
            inspect=self._inspected,
            clock=self.clock,
            dry_run=dry_run,
            progress=self.progress,
        )
        if not dry_run:
            amend(self.registry, self.config.folder, self.progress)
        return found

    def _inspected(self, version: str, theirs: Callable[[], Theirs]) -> dict[str, tuple[str, ...]]:
        """Return the models that learned from a version, each with its files that hold some of these rows."""
        from raypipe.serving.remnants import files_with

        models = self.registry.model_versions(self.config.name)
        learned = [one.version for one in models if one.data_version == version]
        if not learned:
            return {}
        rows = theirs()
        return {one: files_with(self.config.folder.model(one), rows) for one in learned}

    def _pins(self) -> dict[str, str]:
        """Return the versions that models and runs need, each with the reason."""
        from raypipe.training.kept import begun

        models = self.registry.model_versions(self.config.name, removed=True)
        done = {model.run for model in models}
        runs = {
            data: f"the run {run} began on it and is not over"
            for run, data in begun(self.config.folder.runs).items()
            if run not in done
        }
        # Of several models the oldest is named.
        there = (one for one in models if one.removed_at is None)
        return runs | {one.data_version: f"{one.version} was trained on it" for one in there}

    @property
    def _versions(self) -> PipelineVersions:
        return PipelineVersions(self.registry, self.config.name)


def _written(value: str | float) -> str:
    """Return a value as a person writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
