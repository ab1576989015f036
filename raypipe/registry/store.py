"""The registry: each method is one transaction, done wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.clock import Clock
from raypipe.core.errors import RegistryError
from raypipe.core.files import LOCAL_DISK, Disk, fsync_tree, storage_errors
from raypipe.core.ids import Json
from raypipe.registry import aliases, datasets, ledger, marks, runs
from raypipe.registry import models as model_rows
from raypipe.registry.database import EmptySession, Session, open_database, read_mounts
from raypipe.registry.manifest import ManifestDraft, digest_files
from raypipe.registry.tables import NEWEST_TABLE, SCHEMA_TABLE, check, create
from raypipe.registry.values import ANYTHING, AliasChange, Anything, LedgerEntry, ModelVersion, Run, RunStatus

if TYPE_CHECKING:
    from raypipe.data.versions import Change, DataVersion, Fragment

__all__ = ["ANYTHING", "AliasChange", "LedgerEntry", "ModelVersion", "Registry", "Run"]


class Registry:
    """Versions, aliases, runs and the ledger of all pipelines of a home, by URL.

    Opening does nothing; the first write creates the tables, and before it every read finds nothing. Each
    write that changes something appends its own ledger entry in the same transaction. Raises RegistryError
    for a database that refuses or has another schema, StorageError for a disk that refuses.
    """

    def __init__(
        self, url: str, clock: Clock, *, disk: Disk = LOCAL_DISK, mounts: Callable[[], str] = read_mounts
    ) -> None:
        self._database = open_database(url, mounts)
        self._clock = clock
        self._disk = disk
        self._checked = False

    def add_data_version(self, pipeline: str, version: DataVersion) -> bool:
        """Record a data version and return True; return False where its content is known already."""
        with self._write() as session:
            return datasets.add_data_version(session, pipeline, version, self._clock.now())

    def data_version(self, pipeline: str, id: str) -> DataVersion | None:
        """Return the data version with an id."""
        with self._read() as session:
            return datasets.data_version(session, pipeline, id)

    def data_versions(self, pipeline: str) -> tuple[DataVersion, ...]:
        """Return the data versions of a pipeline, newest first."""
        with self._read() as session:
            return datasets.data_versions(session, pipeline)

    def keep_fragment(self, pipeline: str, fragment: Fragment) -> None:
        """Record a fragment whose rows are stored, though no data version holds it yet."""
        with self._write() as session:
            datasets.keep_fragments(session, pipeline, [fragment])

    def fragments(self, pipeline: str) -> tuple[Fragment, ...]:
        """Return all fragments that are kept, oldest first."""
        with self._read() as session:
            return datasets.fragments(session, pipeline)

    def change_data(self, pipeline: str, change: Change) -> None:
        """Record what became of data versions and fragments, with its entry of the ledger."""
        with self._write() as session:
            datasets.change(session, pipeline, change, self._clock.now())

    def register(self, pipeline: str, staged: Path, models: Path, draft: ManifestDraft) -> ModelVersion:
        """Give a staged folder the next version and move it to `models/v<N>`, under a manifest of its files.

        Whatever dies on the way leaves no half version: a folder without a row is no version, and the next
        registration of that number renames it to `orphan-v<N>-<k>`. Raises ArtifactError for links in it.
        """
        if draft.pipeline != pipeline:
            raise RegistryError(f"the draft's pipeline must be {pipeline!r}. Got {draft.pipeline!r}.")
        entry = model_rows.Registration(staged, models, draft, digest_files(staged))
        with storage_errors(staged):
            fsync_tree(staged)
        with self._write() as session:
            return model_rows.register(session, entry, self._clock.now(), self._disk)

    def model_version(self, pipeline: str, version: str) -> ModelVersion:
        """Return a model version whose files are there; raises UnknownVersion, naming those there are."""
        with self._read() as session:
            return model_rows.model_version(session, pipeline, version)

    def model_versions(self, pipeline: str, *, removed: bool = False) -> tuple[ModelVersion, ...]:
        """Return the model versions of a pipeline, newest first; with `removed` also those that were."""
        with self._read() as session:
            found = model_rows.model_versions(session, pipeline)
        return found if removed else tuple(one for one in found if one.removed_at is None)

    def amend_model(self, pipeline: str, version: str, manifest_sha256: str, erasure: str) -> None:
        """Record the digest of a version whose golden rows were replaced after an erasure."""
        with self._write() as session:
            model_rows.amend(session, pipeline, version, manifest_sha256, erasure, self._clock.now())

    def pin_model(self, pipeline: str, version: str, note: str) -> None:
        """Keep a version from being removed; raises UnknownVersion."""
        with self._write() as session:
            marks.pin(session, pipeline, version, note, self._clock.now())

    def unpin_model(self, pipeline: str, version: str) -> None:
        """Take a version's pin away; raises UnknownVersion, and RegistryError where it has none."""
        with self._write() as session:
            marks.unpin(session, pipeline, version, self._clock.now())

    def remove_models(self, pipeline: str, versions: Sequence[str], *, reason: str, as_of: int) -> None:
        """Call versions removed, all or none; their files are the caller's to delete, and only then.

        `as_of` is the number of the ledger's last entry by which the caller decided: raises StaleEpoch where
        something was written since, RegistryError for a version that is pinned or that an alias names.
        """
        with self._write() as session:
            marks.remove(session, pipeline, versions, reason, as_of, self._clock.now())

    def set_alias(
        self,
        pipeline: str,
        alias: str,
        version: str,
        *,
        expected: str | Anything | None = ANYTHING,
        reason: str = "",
        controller: int | None = None,
    ) -> AliasChange:
        """Move an alias to a version under a new epoch, which orders it among all changes of the pipeline.

        `expected` is the version that the alias must still name (None: no alias yet); raises StaleEpoch
        where another writer moved it, and UnknownVersion for a version that is not registered. `controller`
        is the epoch of the controller that moves it, if one does: StaleEpoch where another has taken over.
        """
        with self._write() as session:
            ledger.refuse_replaced(session, pipeline, controller)
            return aliases.set_alias(
                session, pipeline, alias, version, expected=expected, reason=reason, at=self._clock.now()
            )

    def alias(self, pipeline: str, alias: str) -> str | None:
        """Return the version that an alias names."""
        with self._read() as session:
            return aliases.alias(session, pipeline, alias)

    def aliases(self, pipeline: str) -> Mapping[str, str]:
        """Return the version of each alias, by name."""
        with self._read() as session:
            return aliases.aliases(session, pipeline)

    def alias_history(self, pipeline: str, alias: str) -> tuple[AliasChange, ...]:
        """Return what an alias has named, newest first."""
        with self._read() as session:
            return aliases.alias_history(session, pipeline, alias)

    def epoch(self, pipeline: str) -> int:
        """Return the last epoch handed out, 0 where there is none."""
        with self._read() as session:
            return ledger.epoch(session, pipeline)

    def next_epoch(self, pipeline: str, *, after: int | None = None, controller: int | None = None) -> int:
        """Hand out the next epoch; raises StaleEpoch where `after` is given and is not the last one.

        `controller` is the epoch of the controller that asks, if one does: StaleEpoch where another has taken
        over.
        """
        with self._write() as session:
            ledger.refuse_replaced(session, pipeline, controller)
            return ledger.next_epoch(session, pipeline, after)

    def take_over(self, pipeline: str) -> int:
        """Hand out the next epoch to a controller; no older one writes from now on."""
        with self._write() as session:
            return ledger.take_over(session, pipeline)

    def append(
        self, pipeline: str, kind: str, subject: str, detail: Json, *, controller: int | None = None
    ) -> LedgerEntry:
        """Append an entry to the pipeline's ledger.

        `controller` is the epoch of the controller that writes, if one does: StaleEpoch where another has
        taken over.
        """
        with self._write() as session:
            ledger.refuse_replaced(session, pipeline, controller)
            return ledger.append(session, pipeline, kind, subject, detail, self._clock.now())

    def history(
        self, pipeline: str, limit: int | None = 50, *, after_seq: int = 0
    ) -> tuple[LedgerEntry, ...]:
        """Return the last entries of a pipeline's ledger, all if `limit` is None, newest first.

        Only those with numbers above `after_seq`, so that a reader who goes on misses none.
        """
        with self._read() as session:
            return ledger.history(session, pipeline, limit, after_seq)

    def start_run(self, pipeline: str, id: str, detail: Mapping[str, Json]) -> Run:
        """Record that a run began; the same id may run again."""
        with self._write() as session:
            return runs.start_run(session, pipeline, id, detail, self._clock.now())

    def end_run(self, pipeline: str, id: str, status: RunStatus, detail: Mapping[str, Json]) -> None:
        """Record how the newest run with an id ended; `detail` replaces what its start said."""
        with self._write() as session:
            runs.end_run(session, pipeline, id, status, detail, self._clock.now())

    def runs(self, pipeline: str, limit: int = 50) -> tuple[Run, ...]:
        """Return the last runs of a pipeline, newest first."""
        with self._read() as session:
            return runs.runs(session, pipeline, limit)

    def pipelines(self) -> tuple[str, ...]:
        """Return the names of all pipelines, sorted."""
        with self._read() as session:
            return ledger.pipelines(session)

    @contextmanager
    def _read(self) -> Iterator[Session]:
        if not self._checked and not self._database.has_table(SCHEMA_TABLE):
            yield EmptySession()
            return
        if not self._checked and not self._database.has_table(NEWEST_TABLE):
            with self._write():
                pass  # Opened by its first writer of this release, it gets what it lacks.
        with self._database.read() as session:
            check(session, self._database.name)
            yield session
        self._checked = True

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with self._database.write() as session:
            if not self._checked:
                create(session)
            check(session, self._database.name)
            yield session
        # Only now: had the transaction failed, the tables would have gone with it.
        self._checked = True
