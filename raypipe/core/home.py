"""The one folder that holds everything raypipe knows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.errors import ConfigError
from raypipe.core.files import LOCAL_DISK, Disk, storage_errors

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Home:
    """Where things are kept.

    raypipe.db                      versions, aliases, ledger (SQLite)
    cluster.json                    the Ray that `raypipe up` started, by process id
    operator.token                  whoever shows it to an endpoint may change which version answers
    serving.token                   whoever shows it to an endpoint that asks for a token is answered
    <pipeline>/data/rows            Delta table of rows, one table version per data version
    <pipeline>/data/quarantine      Delta table of rows that broke the contract
    <pipeline>/data/readmitted      rows of the quarantine that a person mended, for the next data version
    <pipeline>/data/keys            what unique columns hold, hashed and sorted; made anew from rows if lost
    <pipeline>/data/predictions     Delta table of captured predictions
    <pipeline>/data/labels          Delta table of labels by prediction id
    <pipeline>/profiles/ID.json     the profile of a data version
    <pipeline>/profiles/ID.json.gz  the profile of a fragment
    <pipeline>/wal/<stream>/        what replicas captured and the committer has not moved yet
    <pipeline>/models/v1/           a model version: MANIFEST.json and its files
    <pipeline>/runs/<run>/          what a run has done so far: its trials, its race, its leaderboard
    <pipeline>/staging/<run>/       a model version in the making
    <pipeline>/scratch/             what a process has no room for in memory; gone with it
    <pipeline>/pointer.json         which version serves, with its epoch
    <pipeline>/canaries/STEP.rows   how many rows the canary of a step was allowed to answer so far
    <pipeline>/config.json          the config by which the controller retrains
    <pipeline>/window.json          what the controller measured last
    <pipeline>/outlook.json         what would trigger a retrain next, as the controller saw it last
    <pipeline>/capture.key          what values of redacted columns are hashed with
    <pipeline>/pickle.key           what models that are kept as pickles are signed with
    <pipeline>/erasure.key          what the keys of erased people are hashed with
    <pipeline>/erased.json          those hashes: rows that have one are not let in again
    <pipeline>/mlflow.json          up to where MLflow was told; mlflow.log says how the last sync ended
    <pipeline>/erasing.json         an erasure that is under way, without the keys
    <pipeline>/amending.json        models that wait for other golden rows after an erasure
    <pipeline>/window.db            what was captured, as the controller's looks need it; made anew if lost
    """

    root: Path

    @property
    def registry_url(self) -> str:
        return f"sqlite:///{self.root / 'raypipe.db'}"

    @property
    def cluster_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def operator_token(self) -> Path:
        return self.root / "operator.token"

    @property
    def serving_token(self) -> Path:
        return self.root / "serving.token"

    def pipeline(self, name: str) -> PipelineHome:
        """Return the folder of one pipeline."""
        if not NAME_PATTERN.fullmatch(name):
            raise ConfigError(
                f"name must start with a letter and hold at most 40 of a-z, 0-9, - and _. Got {name!r}."
            )
        return PipelineHome(self.root / name, name)

    def prepare(self, disk: Disk = LOCAL_DISK) -> None:
        """Create the folder and prove that it can be written; raises StorageError."""
        with storage_errors(self.root):
            disk.make_folder(self.root)
            probe = self.root / ".writable"
            disk.write_atomic(probe, b"")
            probe.unlink(missing_ok=True)


@dataclass(frozen=True)
class PipelineHome:
    """The part of a home that belongs to one pipeline."""

    root: Path
    name: str

    @property
    def rows(self) -> Path:
        return self.root / "data" / "rows"

    @property
    def ingest_lock(self) -> Path:
        return self.root / "data" / "ingest.lock"

    @property
    def follow_lock(self) -> Path:
        return self.root / "data" / "follow.lock"

    @property
    def quarantine(self) -> Path:
        return self.root / "data" / "quarantine"

    @property
    def readmitted(self) -> Path:
        return self.root / "data" / "readmitted"

    @property
    def keys(self) -> Path:
        return self.root / "data" / "keys"

    @property
    def predictions(self) -> Path:
        return self.root / "data" / "predictions"

    @property
    def labels(self) -> Path:
        return self.root / "data" / "labels"

    @property
    def wal(self) -> Path:
        return self.root / "wal"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def pointer(self) -> Path:
        return self.root / "pointer.json"

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def window(self) -> Path:
        return self.root / "window.json"

    @property
    def outlook(self) -> Path:
        return self.root / "outlook.json"

    @property
    def capture_key(self) -> Path:
        return self.root / "capture.key"

    @property
    def erasure_key(self) -> Path:
        return self.root / "erasure.key"

    @property
    def erased(self) -> Path:
        return self.root / "erased.json"

    @property
    def erasing(self) -> Path:
        return self.root / "erasing.json"

    @property
    def amending(self) -> Path:
        return self.root / "amending.json"

    @property
    def mlflow_mark(self) -> Path:
        return self.root / "mlflow.json"

    @property
    def mlflow_lock(self) -> Path:
        return self.root / "mlflow.lock"

    @property
    def mlflow_log(self) -> Path:
        return self.root / "mlflow.log"

    @property
    def fold(self) -> Path:
        return self.root / "window.db"

    def profile(self, content: str) -> Path:
        """Return where the profile of a data version's content is kept."""
        return self.root / "profiles" / f"{content}.json"

    def fragment_profile(self, fragment: str) -> Path:
        """Return where the profile of a fragment is kept."""
        return self.root / "profiles" / f"{fragment}.json.gz"

    def model(self, version: str) -> Path:
        """Return the folder of a model version."""
        return self.models / version
