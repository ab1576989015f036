"""A config as a Ray job on a cluster that exists: its folder goes along, its log comes back."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from raypipe.config.load import load_config
from raypipe.config.settings import Config
from raypipe.config.yaml_text import parse_yaml
from raypipe.core.errors import ClusterError, ConfigError
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step, silent
from raypipe.runtime.dashboard import require_dashboard
from raypipe.runtime.token import environment
from raypipe.runtime.working_dir import list_files, pack, require_small

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

Command = Literal["run", "up"]
POLL_S = 0.5
_NOT_ASKED: dict[str, str | None] = {"RAY_ADDRESS": None, "RAY_API_SERVER_ADDRESS": None}
"""Ray would take these for the address, whatever it is given."""


@dataclass(frozen=True)
class Cluster:
    """A Ray that takes jobs: the URL of its dashboard, and its token where it asks for one."""

    url: str
    token: str | None


@dataclass(frozen=True)
class Submission:
    """What is sent: a config file, what to do with it, and what the job is called."""

    id: str
    config: Path
    pipeline: str
    command: Command = "run"
    force: bool = False
    exclude: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def entrypoint(self) -> str:
        """The shell command of the job; Ray sets RAY_ADDRESS there."""
        options = " --force" if self.force else ""
        name = shlex.quote(self.config.resolve().name)
        return f'raypipe {self.command} {name} --address "$RAY_ADDRESS"{options}'

    @property
    def metadata(self) -> dict[str, str]:
        """What the dashboard shows beside the job."""
        return {
            "raypipe_pipeline": self.pipeline,
            "raypipe_config": self.config.resolve().name,
            "raypipe_command": self.command,
            "raypipe_version": version("raypipe"),
        }


@dataclass(frozen=True)
class Ended:
    """How a job ended; `last_line` is the last one of its log."""

    id: str
    status: str
    last_line: str

    @property
    def ok(self) -> bool:
        return self.status == "SUCCEEDED"

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def require_portable(config: Path, variables: Mapping[str, str]) -> Config:
    """Return the config, if what it names by relative paths goes along and what it makes stays.

    Raises ConfigError.
    """
    loaded = load_config(config, variables)
    text = config.read_text(encoding="utf-8")
    written = Config.model_validate(parse_yaml(text, variables))
    if not _is_fixed(written.home):
        raise ConfigError(
            f"{config}: home must be an absolute path or begin with ~, for what a job leaves in its working "
            f"directory is lost. Got {written.home!r}."
        )
    for source in written.data.sources:
        path = source.local_path
        if path is not None and not _is_fixed(path) and _leaves(path):
            raise ConfigError(
                f"{config}: the path of source {source.name} must lie in the config's folder, which goes "
                f"along, or be an absolute path or URL that the cluster can read. Got {path!r}."
            )
    return loaded


def submit(cluster: Cluster, job: Submission, progress: Progress = silent) -> None:
    """Send a job and return at once; raises ConfigError and ClusterError, each with what to do."""
    folder = job.config.resolve().parent
    files = list_files(folder, job.exclude)
    require_small(folder, files)
    require_dashboard(cluster.url, cluster.token)
    progress(Step("submit", f"sending {len(files)} files of {folder}"))
    with tempfile.TemporaryDirectory() as temporary, _client(cluster) as client:
        package = Path(temporary) / "working_dir.zip"
        pack(folder, files, package)
        client.submit_job(
            entrypoint=job.entrypoint,
            submission_id=job.id,
            runtime_env={"working_dir": str(package), "env_vars": dict(job.variables)},
            metadata=job.metadata,
        )
    progress(Step("submit", f"{cluster.url} took the job {job.id}"))


def follow(
    cluster: Cluster,
    job_id: str,
    write: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Ended:
    """Give the job's log to `write` as it grows, and return how it ended; raises ClusterError."""
    n_written = 0
    with _client(cluster) as client:
        while True:
            info = client.get_job_info(job_id)
            log = client.get_job_logs(job_id)
            write(log[n_written:])
            n_written = len(log)
            if info.status.is_terminal():
                return Ended(job_id, str(info.status), last_line(log) or last_line(info.message or ""))
            sleep(POLL_S)


def failure(ended: Ended) -> str:
    """Return one sentence on a job that did not succeed."""
    if ended.status == "STOPPED":
        return f"the job {ended.id} was stopped."
    if ended.last_line.endswith(("raypipe: not found", "raypipe: command not found")):
        return (
            f"the job {ended.id} failed: there is no `raypipe` on the cluster's PATH; install raypipe "
            f"{version('raypipe')} on every node."
        )
    return f"the job {ended.id} failed; the last line of its log: {ended.last_line or 'it has none'}"


def last_line(log: str) -> str:
    """Return the last line that says something; empty where none does."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ""


@contextmanager
def _client(cluster: Cluster) -> Iterator[JobSubmissionClient]:
    """Speak with the Jobs API; what it refuses becomes one sentence."""
    import logging

    import requests
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.ERROR)
    headers = {"Authorization": f"Bearer {cluster.token}"} if cluster.token else None
    try:
        with environment(_NOT_ASKED):
            yield JobSubmissionClient(cluster.url, headers=headers)
    except (RuntimeError, ConnectionError, requests.RequestException) as error:
        raise ClusterError(f"the Ray at {cluster.url} does not go on with the job: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return what the dashboard answered; a stack trace comes before it, and a point alone after it."""
    line = last_line(str(error).rstrip(". \n"))
    return f"{line or type(error).__name__}."


def _is_fixed(path: str) -> bool:
    return "://" in path or path.startswith(("/", "~"))


def _leaves(path: str) -> bool:
    """Return whether a relative path leads out of the folder that it starts in."""
    depth = 0
    for part in PurePosixPath(path).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
