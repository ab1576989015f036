"""`raypipe.Pipeline`: the stages of the loop bound to a config, a registry and a Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from raypipe.api.data import PipelineData
from raypipe.api.models import PipelineModels
from raypipe.api.status import Status, endpoint_spec, read_status
from raypipe.config.load import load_config, parse_config
from raypipe.config.settings import Config
from raypipe.config.yaml_text import Plain
from raypipe.core.clock import Clock, SystemClock
from raypipe.core.errors import UnknownVersion
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.schema import Value
from raypipe.pipeline import CHALLENGER, Loop, Outcome, no_compute
from raypipe.registry.store import Registry
from raypipe.runtime.state import read_cluster
from raypipe.serving.pointer import read_pointer
from raypipe.serving.releases import CHAMPION
from raypipe.training.trials import Trials

if TYPE_CHECKING:
    import pandas as pd

    from raypipe.backtest.result import BacktestResult
    from raypipe.backtest.settings import BacktestSettings
    from raypipe.data.versions import DataVersion
    from raypipe.runtime.connection import Connection
    from raypipe.runtime.state import Cluster
    from raypipe.serving.batch.places import Place
    from raypipe.serving.batch.run import Scored
    from raypipe.serving.edge.export import Exported

_OPEN = "whoever reaches {} is answered: serving.auth is off, so that no token is asked for."
Rows: TypeAlias = "Sequence[Mapping[str, Value]] | pd.DataFrame"


def load(path: str | Path, *, progress: Progress = silent) -> Pipeline:
    """Return the pipeline that a config file describes; raises ConfigError."""
    return Pipeline.of(load_config(path), progress=progress)


@dataclass(frozen=True)
class Deployment:
    """An endpoint that answers."""

    url: str
    version: str
    dashboard_url: str | None
    token_file: Path | None
    """Holds the token that the dashboard asks for."""
    serving_token_file: Path | None
    """Holds the token that predictions and labels need; None where they need none."""
    example: Json
    """A row that the endpoint answers."""
    warning: str | None = None
    """What a careful person should know of it."""
    grpc_address: str | None = None
    """Where it answers over gRPC too; None where it does not."""


class Pipeline:
    """One loop: `run` learns a version, `deploy` puts the champion behind a URL, `predict` asks it.

    `Pipeline(name=..., data={...}, training={...})` takes what a config file holds, under the same names;
    relative paths start at the current folder. Raises ConfigError for what a file would be refused for.
    """

    def __init__(self, *, progress: Progress = silent, clock: Clock | None = None, **settings: Plain) -> None:
        self._bind(parse_config(dict(settings), Path.cwd()), progress, clock or SystemClock())

    @classmethod
    def of(cls, config: Config, *, progress: Progress = silent, clock: Clock | None = None) -> Pipeline:
        """Return the pipeline of a config that was loaded before."""
        pipeline = cls.__new__(cls)
        pipeline._bind(config, progress, clock or SystemClock())
        return pipeline

    def start(self) -> Cluster | None:
        """Start the home's own Ray as a daemon, or return the one that runs; None where the config joins one.

        Raises StorageError for a home that cannot be written, ClusterError where Ray does not come up.
        """
        from raypipe.runtime import daemon

        self.config.root.prepare()
        if self.config.cluster.address is not None:
            return None
        self._check_port()
        return daemon.start(
            self.config.root,
            self.config.cluster,
            body_timeout_s=self.config.serving.body_timeout_s,
            clock=self._clock,
            progress=self._progress,
        )

    def ingest(self) -> DataVersion:
        """Read what is new at the sources, and return the data version of all they hold; needs no Ray.

        Raises RaypipeError, with one sentence, for whatever a person can mend.
        """
        self.config.root.prepare()
        return self._loop(no_compute).collect()

    def run(self, *, force: bool = False, data: str | None = None) -> Outcome:
        """Learn a version from the sources; from equal rows and settings once, unless `force`.

        `data` names a data version to learn from instead: then no source is looked at.

        Uses the Ray that is there, or else one for this call only. Raises RaypipeError, with one sentence,
        for whatever a person can mend.
        """
        self.config.root.prepare()
        outcome = self._loop(self._compute).run(force=force, data=data)
        self._tell()
        return outcome

    def up(self, *, force: bool = False) -> tuple[Outcome, Deployment]:
        """Run the loop on a Ray that goes on running, and put the champion behind the pipeline's URL."""
        self.config.root.prepare()
        self._check_port()
        outcome = self._loop(self._compute_on_daemon).run(force=force)
        deployed = self.deploy()
        self._tell()
        return outcome, deployed

    def deploy(self, version: str | None = None) -> Deployment:
        """Put a version behind the pipeline's URL: the named one, else the champion, else the newest.

        Starts Ray as a daemon if need be; the endpoint answers until `down`. The version that serves is only
        replaced by one that is named. Raises UnknownVersion where there is none, ServingError where the
        endpoint does not come up.
        """
        self._settle(version)
        self.start()
        with self._connected() as connection:
            from raypipe.control.on_ray import start_controller
            from raypipe.data.on_ray import start_committer
            from raypipe.serving.on_ray import deploy

            self._progress(Step("serve", "starting the endpoint"))
            deploy(endpoint_spec(self.config))
            start_committer(
                self.config.folder,
                self.config.serving.capture.commit_interval_s,
                self.registry.next_epoch(self.config.name),
            )
            start_controller(self.config, connection.dashboard_url)
        return self._deployed()

    def promote(self, version: str, *, reason: str = "") -> Deployment | None:
        """Make a version the champion: the endpoint does it over HTTP, the home where none is up (None then).

        Raises UnknownVersion, StaleEpoch where another release came in between, and ArtifactError or
        ServingError where the version is refused: then the one that served before is the champion.
        """
        from raypipe.api.releases import promote

        done = promote(self.config, self._loop(no_compute).releases, version, reason=reason)
        return None if done.url is None else self._deployed()

    def rollback(self) -> Deployment | None:
        """Make the version that served before the champion again; raises UnknownVersion if there was none."""
        from raypipe.api.releases import rollback

        done = rollback(self.config, self._loop(no_compute).releases)
        return None if done.url is None else self._deployed()

    def predict(self, rows: Rows) -> list[Json]:
        """Answer rows with the champion (or the newest version), here and without capturing them.

        The answers, and the errors of rows that cannot be answered, are those of the endpoint. Raises
        UnknownVersion where there is no version yet, DataError where the rows as a whole are refused.
        """
        from raypipe.serving.offline import answer_rows

        name = self.config.name
        version = self.registry.alias(name, CHAMPION) or self.registry.alias(name, CHALLENGER)
        if version is None:
            raise UnknownVersion(f"{name} has no version yet; run the pipeline first.")
        return answer_rows(self.config.folder, self.registry.model_version(name, version), _as_mappings(rows))

    def score(
        self,
        place: str | Place,
        to: str | Path,
        *,
        version: str = CHAMPION,
        keep: Sequence[str] = (),
        on: Literal["auto", "local", "ray"] = "auto",
    ) -> Scored:
        """Answer all rows of a file, folder, glob, URL or table into a folder, with the endpoint's numbers.

        Called again after it was stopped, it scores only what is missing. Raises RaypipeError.
        """
        from raypipe.api.scoring import job_of, score_to_folder
        from raypipe.serving.batch.places import Place

        found = Place(place) if isinstance(place, str) else place
        job = job_of(self.config, self.registry, found, version, keep)
        return score_to_folder(self.config, job, Path(to), on=on, progress=self._progress)

    def backtest(self, settings: BacktestSettings | None = None) -> BacktestResult:
        """Play the newer rows offline under the config's policy and others, and price each; needs no Ray.

        Registers nothing. Raises ConfigError where the config names no event time, DataError where rows are
        too few.
        """
        from raypipe.backtest.run import backtest
        from raypipe.backtest.settings import BacktestSettings

        return backtest(self.config, settings or BacktestSettings(), self._progress)

    def export(self, version: str, to: str | Path, *, with_onnx: bool = False) -> Exported:
        """Write a version into a new folder that answers without Ray, proven on known rows.

        Raises UnknownVersion, ConfigError for a folder that holds something, and ArtifactError where the
        folder answers otherwise than the endpoint did.
        """
        from raypipe.api.exporting import export_version

        return export_version(
            self.config, self.registry, version, Path(to), with_onnx=with_onnx, progress=self._progress
        )

    @property
    def data(self) -> PipelineData:
        """The data versions: to read and compare any of them, and to clear away old ones."""
        return PipelineData(self.config, self.registry, self._clock, self._progress)

    @property
    def models(self) -> PipelineModels:
        """The model versions: to pin, compare and remove any of them."""
        return PipelineModels(self.config, self.registry, self._clock, self._progress)

    def status(self) -> Status:
        """Return what is so at this moment."""
        return read_status(self.config, self.registry)

    def down(self) -> bool:
        """End the Ray that `start` or `deploy` started, with all that runs on it; the home stays.

        Returns whether there was one; raises ClusterError where a process survives.
        """
        from raypipe.runtime import daemon

        return daemon.down(self.config.root, progress=self._progress) is not None

    def _tell(self) -> None:
        from raypipe.tracking.beside import tell

        tell(self.config)

    def _bind(self, config: Config, progress: Progress, clock: Clock) -> None:
        self.config = config
        self.registry = Registry(config.root.registry_url, clock)
        self._progress = progress
        self._clock = clock

    def _loop(self, compute: Callable[[], AbstractContextManager[Trials]]) -> Loop:
        return Loop(self.config, self.registry, self._clock, compute, self._progress)

    @contextmanager
    def _compute_on_daemon(self) -> Iterator[Trials]:
        """Connect to a Ray that outlives this process, started where it must be."""
        self.start()
        with self._compute() as trials:
            yield trials

    @contextmanager
    def _compute(self) -> Iterator[Trials]:
        """Connect to the Ray that is there, or to a private one."""
        from raypipe.runtime.resources import plan

        with self._connected() as connection:
            yield plan(connection.n_cpus, self.config.serving, self.config.training.resources)

    def _connected(self) -> AbstractContextManager[Connection]:
        from raypipe.runtime.session import session

        return session(self.config.cluster, self.config.root)

    def _settle(self, version: str | None) -> None:
        """Bring registry and pointer to what shall serve; both stay where they agree already."""
        releases = self._loop(no_compute).releases
        champion = self.registry.alias(self.config.name, CHAMPION)
        wanted = version or champion or self.registry.alias(self.config.name, CHALLENGER)
        if wanted is None:
            raise UnknownVersion(f"{self.config.name} has no version to deploy; run the pipeline first.")
        pointer = read_pointer(self.config.folder.pointer)
        if wanted != champion:
            releases.release(
                wanted, expected=champion, reason="deployed" if champion else "the first version"
            )
        elif pointer is None or pointer.version != champion:
            releases.point_again()

    def _deployed(self) -> Deployment:
        from raypipe.serving.golden import read_golden

        spec = endpoint_spec(self.config)
        version = self.registry.aliases(self.config.name)[CHAMPION]
        cluster = read_cluster(self.config.root)
        return Deployment(
            url=spec.url,
            version=version,
            dashboard_url=cluster.dashboard_url if cluster else None,
            token_file=Path(cluster.token_file) if cluster else None,
            serving_token_file=spec.token_file,
            example=read_golden(self.config.folder.model(version)).rows[0],
            warning=_OPEN.format(self.config.serving.host) if self.config.serving.is_open else None,
            grpc_address=spec.grpc_address,
        )

    def _check_port(self) -> None:
        """Refuse a port in use before anything is trained, unless it is our own Ray that listens there."""
        from raypipe.runtime.ports import require_free
        from raypipe.runtime.status import status

        joins = self.config.cluster.address is not None
        if not joins and status(self.config.root).state != "running":
            serving = self.config.serving
            require_free(serving.host, serving.port, "serving.port")
            if serving.grpc_port is not None:
                require_free(serving.host, serving.grpc_port, "serving.grpc_port")


def _as_mappings(rows: Rows) -> Sequence[Mapping[str, Value]]:
    """Return rows as plain Python values, with missing ones as None."""
    if isinstance(rows, Sequence):
        return rows
    import pyarrow as pa

    mappings: list[dict[str, Value]] = pa.Table.from_pandas(rows, preserve_index=False).to_pylist()
    return mappings
