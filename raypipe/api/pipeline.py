"""`raypipe.Pipeline`: the stages of the loop bound to a config, a registry and a Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.api.status import Status, read_status
from raypipe.config.load import load_config, parse_config
from raypipe.config.settings import Config
from raypipe.config.yaml_text import Plain
from raypipe.core.clock import Clock, SystemClock
from raypipe.core.errors import UnknownVersion
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.schema import Value
from raypipe.pipeline import CHALLENGER, CHAMPION, Loop, Outcome, Trials
from raypipe.registry.store import Registry

if TYPE_CHECKING:
    import pandas as pd

Rows = "Sequence[Mapping[str, Value]] | pd.DataFrame"


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
    example: Json
    """A row that the endpoint answers."""


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

    def _bind(self, config: Config, progress: Progress, clock: Clock) -> None:
        self.config = config
        self.registry = Registry(config.root.registry_url, clock)
        self._progress = progress
        self._clock = clock

    def start(self) -> ClusterState:
        """Start the home's own Ray, as a daemon, or return the one that runs; raises ClusterError."""
        from raypipe.runtime import daemon

        self.config.root.prepare()
        return daemon.start(self.config.root, self.config.cluster, progress=self._progress)

    def run(self, *, force: bool = False) -> Outcome:
        """Learn a version from the sources; equal rows and settings are not learned from twice unless `force`.

        Uses the Ray that is there: the configured address, the home's daemon, or else one for this call only.
        Raises RaypipeError with one sentence for whatever a person can mend.
        """
        self.config.root.prepare()
        with self._ray() as cpus:
            return self._loop(cpus).run(force=force)

    def deploy(self, version: str | None = None) -> Deployment:
        """Put a version behind the pipeline's URL: the named one, else the champion, else the newest.

        Starts Ray as a daemon if need be; what serves goes on until `down`. The version that serves is only
        replaced by one that is named. Raises ServingError where the endpoint does not come up.
        """
        self.start()
        with self._ray() as cpus:
            loop = self._loop(cpus)
            self._release_for(loop, version)
            return self._deployed()

    def promote(self, version: str, *, reason: str = "") -> Deployment | None:
        """Make a version the champion, and see the endpoint follow where one answers.

        Raises UnknownVersion, and ServingError where the endpoint refuses the version: then the version that
        served before is the champion again.
        """
        loop = self._loop(cpus=1)
        before = self.registry.alias(self.config.name, CHAMPION)
        answering = self.status().endpoint is not None
        pointer = loop.release(version, reason=reason or "promoted by hand")
        if not answering:
            return None
        try:
            wait_for_epoch(endpoint_url(self.config), pointer.epoch, timeout_s=RELEASE_TIMEOUT_S)
        except ServingError as error:
            if before is not None:
                loop.release(before, reason=f"{version} was refused: {error}")
            raise
        return self._deployed()

    def rollback(self) -> Deployment | None:
        """Make the version that served before the champion again; raises UnknownVersion if there was none."""
        return self.promote(self._loop(cpus=1).previous_champion(), reason="rolled back")

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

    def status(self) -> Status:
        """Return what is so at this moment."""
        return read_status(self.config, self.registry)

    def down(self) -> None:
        """End the Ray that `start` or `deploy` started, with all that runs on it; the home stays."""
        from raypipe.runtime import daemon

        daemon.down(self.config.root, progress=self._progress)
