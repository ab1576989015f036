"""Telling MLflow without waiting for it: in a process of its own, that nothing depends on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from raypipe.config.settings import Config
from raypipe.core.clock import SystemClock
from raypipe.core.errors import RaypipeError, StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.sources.places import without
from raypipe.registry.store import Registry
from raypipe.tracking.sink import MlflowSink
from raypipe.tracking.sync import Synced, sync

_log = logging.getLogger("raypipe.mlflow")
_MODULE = "raypipe.tracking.beside"
_URI, _TIMEOUT = "RAYPIPE_MLFLOW_URI", "RAYPIPE_MLFLOW_TIMEOUT_S"
_QUICKLY = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""MLflow's own settings: by default it tries for minutes."""


def tell(config: Config) -> threading.Thread | None:
    """Begin to bring MLflow in step, where the config names one, and do not wait; never raises.

    Returns the thread that waits for the process that does it; a caller that ends earlier leaves it to go on.
    What becomes of it is in `mlflow.log`; a later call, or `raypipe mlflow sync`, makes up for it.
    """
    settings = config.registry.mlflow
    if settings is None:
        return None
    own = {_URI: settings.uri, _TIMEOUT: f"{settings.timeout_s:g}"}
    log = str(config.folder.mlflow_log)
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, writing, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    command = [sys.executable, "-m", _MODULE, str(config.folder.root)]
    try:
        pid = os.posix_spawn(sys.executable, command, {**os.environ, **own}, file_actions=files, setsid=True)
    except OSError as error:
        _log.warning("MLflow is not told (%s); `raypipe mlflow sync` makes up for it", error)
        return None
    # Whoever lives long, as the controller does, would keep a zombie otherwise.
    waiting = threading.Thread(target=os.waitpid, args=(pid, 0), name="mlflow", daemon=True)
    waiting.start()
    return waiting


def sync_now(registry: Registry, folder: PipelineHome, uri: str) -> Synced:
    """Bring MLflow in step, and wait; raises ConfigError where it is not installed, StorageError else."""
    os.environ.update({name: value for name, value in _QUICKLY.items() if name not in os.environ})
    try:
        return sync(registry, folder, uri, lambda: MlflowSink(uri, folder.name))
    except RaypipeError:
        raise
    except Exception as error:  # whatever MLflow, its database or its server raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise StorageError(
            f"MLflow was not told of all ({type(error).__name__}: {without(uri, first_line)}); what it lacks "
            "comes with the next sync."
        ) from error


def main() -> None:
    """Bring MLflow in step with a pipeline's folder, within the time that the environment gives."""
    folder = Path(sys.argv[1]).absolute()
    signal.setitimer(signal.ITIMER_REAL, float(os.environ[_TIMEOUT]))
    home = Home(folder.parent)
    try:
        done = sync_now(
            Registry(home.registry_url, SystemClock()), home.pipeline(folder.name), os.environ[_URI]
        )
    except RaypipeError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(f"in step with entry {done.seq} of the ledger\n")


if __name__ == "__main__":
    main()
