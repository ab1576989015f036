"""The servers that are compared: one process each, in an environment of its own, with the same model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.faults.place import wait_for

PEERS_FOLDER = Path(__file__).parent / "peers"
BY_NAME = '{"rows": OBJECTS}'


@dataclass(frozen=True)
class Server:
    """A server that answers; `template` is how it takes rows."""

    name: str
    url: str
    template: str
    note: str


@dataclass(frozen=True)
class Peer:
    """A server that somebody else wrote: `peers/KEY_app.py`, with the packages of `peers/KEY.txt`."""

    key: str
    title: str
    path: str = "/predict"
    template: str = BY_NAME

    @property
    def requirements(self) -> Path:
        return PEERS_FOLDER / f"{self.key}.txt"

    @property
    def version(self) -> str:
        """What the first line of its requirements pins."""
        return self.requirements.read_text().splitlines()[0].replace("==", " ")


class NotInstalled(Exception):
    """A peer cannot be measured here; the text says why."""


_TENSOR = '{"inputs": [{"name": "x", "shape": [COUNT, 20], "datatype": "FP32", "data": LISTS}]}'
PEERS = (
    Peer("fastapi", "bare FastAPI + uvicorn"),
    Peer("ray_serve", "Ray Serve, default proxy"),
    Peer("bentoml", "BentoML"),
    Peer("litserve", "LitServe"),
    Peer("mlserver", "MLServer", "/v2/models/model/infer", _TENSOR),
    Peer("mlflow", "mlflow models serve", "/invocations", '{"inputs": LISTS}'),
)


def python_of(peer: Peer, venvs: Path) -> Path:
    """Return the interpreter of a peer's environment, made where there is none; raises NotInstalled."""
    folder = venvs / peer.key
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text() == peer.requirements.read_text():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    line = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    found = subprocess.run([*line, "-r", str(peer.requirements)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        told = [one for one in found.stderr.splitlines() if one.strip()]
        raise NotInstalled(told[-1] if told else f"pip ended with {found.returncode}")
    done.write_text(peer.requirements.read_text())
    return python


@contextmanager
def started(peer: Peer, python: Path, model: Path, port: int) -> Iterator[Server]:
    """Run a peer until the end of the block; raises NotInstalled where it does not answer."""
    with tempfile.TemporaryDirectory(prefix="rp-peer-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        url = f"http://127.0.0.1:{port}{peer.path}"
        log = Path(folder) / "log"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"MODEL": str(model), "PORT": str(port), "FOLDER": folder, "OMP_NUM_THREADS": "1"}
        environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [python, PEERS_FOLDER / f"{peer.key}_app.py"], env=environment, stdout=file, stderr=file
            )
        try:
            _wait_until_it_answers(url, peer, process, log)
            yield Server(peer.title, url, peer.template, peer.version)
        finally:
            _end(process)


def post(url: str, body: bytes) -> object:
    """Return the answer to one body; raises OSError."""
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _wait_until_it_answers(url: str, peer: Peer, process: subprocess.Popen[bytes], log: Path) -> None:
    from benchmarks.serving.model import body

    def answers() -> bool:
        if process.poll() is not None:
            raise NotInstalled(f"it ended with {process.returncode}: {log.read_text()[-300:]!r}")
        try:
            post(url, body(peer.template, n_rows=1))
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise NotInstalled(f"it answers {error.code}: {error.read()[:300]!r}") from error
            return False
        except OSError:
            return False
        return True

    wait_for(answers, f"answer of {peer.title}", every_s=0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started, unless it has ended by itself."""
    if process.poll() is not None:
        return
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for one in alive:
        one.kill()
    process.wait(timeout=10)
