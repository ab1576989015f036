"""A version proves itself in a process of its own: `python -m raypipe.runtime.proof HOME PIPELINE VERSION`.

It is loaded by the digest that the registry has, answers its golden rows as it did at registration, and says
how long a row takes. Whatever it does meanwhile, it does to that process alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.clock import SystemClock
from raypipe.core.errors import ArtifactError, RaypipeError
from raypipe.core.home import Home
from raypipe.registry.store import Registry
from raypipe.serving.golden import fastest_s
from raypipe.serving.predictor import load_predictor

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Proof:
    """What a version showed before any traffic."""

    row_ms: float
    """How long it takes to answer one row, at its fastest of a few."""
    n_bytes: int
    """The bytes of its files."""


def prove(home: Path, pipeline: str, version: str, *, timeout_s: float = TIMEOUT_S) -> Proof:
    """Load a version in a new process and have it answer; raises ArtifactError where it does not in time."""
    command = [sys.executable, "-m", __name__, str(home), pipeline, version]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False, text=True)
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(
            f"{version} must answer its golden rows within {timeout_s:g} seconds. Got no answer; its process "
            "was ended."
        ) from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1] if lines else f"its process ended with {done.returncode}"
        raise ArtifactError(f"{version} did not prove itself: {why}")
    return Proof(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Prove one version; the exit code is 1 and the reason on standard error where it fails."""
    home, pipeline, version = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    try:
        found = _proven(home, pipeline, version)
    except RaypipeError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(vars(found)) + "\n")


def _proven(home: Home, pipeline: str, version: str) -> Proof:
    model = Registry(home.registry_url, SystemClock()).model_version(pipeline, version)
    place = home.pipeline(pipeline).model(version)
    predictor = load_predictor(place, model.manifest_sha256)
    n_bytes = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return Proof(1e3 * fastest_s(predictor, place, time.perf_counter), n_bytes)


if __name__ == "__main__":
    main()
