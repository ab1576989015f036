"""`pipeline.models`: the model versions of a pipeline, to keep, compare and remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.config.settings import Config
from raypipe.control.people import read_state
from raypipe.control.state import AwaitingApproval, Retraining, Watching
from raypipe.core.clock import Clock
from raypipe.core.errors import RegistryError, StaleEpoch, UnknownVersion
from raypipe.core.progress import Progress, silent
from raypipe.data.retention import KeptVersion
from raypipe.data.turns import turn
from raypipe.registry.marks import pin_reason
from raypipe.registry.retention import RemovedModels, delete, folders_of, measured, reasons
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.serving.pointer import legible_pointer
from raypipe.serving.releases import CHAMPION, Releases

if TYPE_CHECKING:
    from raypipe.api.beside import Beside

BY_RETENTION = "registry.retention does not keep it"
N_ATTEMPTS = 5


@dataclass(frozen=True)
class PipelineModels:
    """The model versions of one pipeline. Methods raise UnknownVersion for a name that is none of them."""

    config: Config
    registry: Registry
    clock: Clock
    progress: Progress = silent

    def versions(self) -> tuple[ModelVersion, ...]:
        """Return all versions, newest first, also those that were removed."""
        return self.registry.model_versions(self.config.name, removed=True)

    def pin(self, version: str, note: str = "") -> None:
        """Keep a version from being removed, whatever the settings are."""
        self.registry.pin_model(self.config.name, version, note)

    def unpin(self, version: str) -> None:
        """Take a version's pin away; raises RegistryError where it has none."""
        self.registry.unpin_model(self.config.name, version)

    def collect_garbage(self, *, dry_run: bool = False) -> RemovedModels:
        """Remove the versions that `registry.retention` does not keep, with all their files.

        The newest stays, and whatever `needs` names. What an earlier removal left goes as well. With
        `dry_run` nothing is removed. Raises StorageError.
        """

        def choose(versions: Sequence[ModelVersion]) -> tuple[list[str], dict[str, str]]:
            settings, now = self.config.registry.retention, self.clock.now()
            kept = reasons(versions, settings, self.needs(), now)
            return [one.version for one in versions if one.version not in kept], kept

        return self._remove(choose, BY_RETENTION, dry_run)

    def remove(
        self, version: str, *, reason: str = "", no_way_back: bool = False, dry_run: bool = False
    ) -> RemovedModels:
        """Remove a version with all its files, for good; it stays in the log as removed, with the reason.

        Raises RegistryError for one that something needs. `no_way_back` says that it may be the version that
        a rollback would go back to. With `dry_run` nothing is removed. Raises StorageError.
        """

        def choose(_: Sequence[ModelVersion]) -> tuple[list[str], dict[str, str]]:
            self.registry.model_version(self.config.name, version)
            why = self.needs(way_back=not no_way_back).get(version)
            if why is not None:
                raise RegistryError(f"{version} of {self.config.name} must not be removed: {why}.")
            return [version], {}

        return self._remove(choose, reason, dry_run)

    def compare(self, before: str, after: str) -> Beside:
        """Put two versions side by side, and judge both on the same rows where there are such."""
        from raypipe.api.beside import beside

        return beside(self.config, self.registry, *map(self._also_removed, (before, after)))

    def import_file(self, file: Path, schema: Path, *, data: str | None = None) -> ModelVersion:
        """Register a model file that was made elsewhere, judged on a data version (None: the newest).

        `schema` is a YAML file with the model's features, see `raypipe.training.importing`. Nothing is
        promoted. Raises ConfigError, ArtifactError and DataError.
        """
        from raypipe.api.importing import import_model
        from raypipe.pipeline import Loop, no_compute

        versions = self.registry.data_versions(self.config.name)
        if data is None and not versions:
            raise UnknownVersion(f"{self.config.name} has no data version yet; `raypipe ingest` makes one.")
        loop = Loop(self.config, self.registry, self.clock, no_compute, self.progress)
        return import_model(loop, loop.known(data or versions[0].id), file, schema)

    def _also_removed(self, version: str) -> ModelVersion:
        found = next((one for one in self.versions() if one.version == version), None)
        return found or self.registry.model_version(self.config.name, version)

    def needs(self, *, way_back: bool = True) -> dict[str, str]:
        """Return the versions that must stay, each with the reason."""
        name = self.config.name
        pinned = {
            one.version: pin_reason(one.pin)
            for one in self.registry.model_versions(name)
            if one.pin is not None
        }
        back = Releases(self.registry, self.config.folder).way_back() if way_back else None
        found = {} if back is None else {back: "a rollback would go back to it"}
        found |= pinned | self._under_way()
        pointer = legible_pointer(self.config.folder.pointer)
        if pointer is not None:
            found[pointer.version] = "it is being served"
        aliases = sorted(self.registry.aliases(name).items(), key=lambda one: one[0] == CHAMPION)
        return found | {version: f"it is the {alias}" for alias, version in aliases}

    def _under_way(self) -> dict[str, str]:
        phase = read_state(self.registry, self.config.name).phase
        if isinstance(phase, Watching | Retraining):
            return {}
        champion = {} if phase.champion is None else {phase.champion: f"{phase.version} is compared with it"}
        waits = "it waits for approval" if isinstance(phase, AwaitingApproval) else "its gate is not over"
        return champion | {phase.version: waits}

    def _remove(
        self,
        choose: Callable[[Sequence[ModelVersion]], tuple[list[str], dict[str, str]]],
        reason: str,
        dry_run: bool,
    ) -> RemovedModels:
        """Mark first, delete then; decide again where another process wrote in between."""
        with turn(self.config.folder, self.progress):
            for attempt in range(N_ATTEMPTS):
                try:
                    return self._attempt(choose, reason, dry_run)
                except StaleEpoch:
                    if attempt == N_ATTEMPTS - 1:
                        raise
        raise AssertionError("an attempt returns or raises")

    def _attempt(
        self,
        choose: Callable[[Sequence[ModelVersion]], tuple[list[str], dict[str, str]]],
        reason: str,
        dry_run: bool,
    ) -> RemovedModels:
        name, folder = self.config.name, self.config.folder
        as_of = max((entry.seq for entry in self.registry.history(name, 1)), default=0)
        versions = self.versions()
        going, kept = choose([one for one in versions if one.removed_at is None])
        gone = [one.version for one in versions if one.removed_at is not None]
        places = folders_of(folder, [*going, *gone], versions)
        n_files, n_bytes = measured(places)
        if not dry_run:
            if going:
                self.registry.remove_models(name, going, reason=reason, as_of=as_of)
            delete(folder, places)
        return RemovedModels(
            tuple(going),
            tuple(KeptVersion(version, why) for version, why in kept.items()),
            n_files,
            n_bytes,
            dry_run,
        )
