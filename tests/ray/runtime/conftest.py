"""Clusters of the tests' own, started and joined from processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from raypipe.core.errors import ClusterError
from raypipe.core.home import Home
from raypipe.runtime import daemon

PREAMBLE = """
import sys
from pathlib import Path
from raypipe.config.settings import ClusterSettings
from raypipe.core.errors import RaypipeError
from raypipe.core.home import Home
from raypipe.runtime import daemon
from raypipe.runtime.connection import connect, current, local
home = Home(Path(sys.argv[1]))
settings = ClusterSettings(cpus=2, object_store_bytes=100_000_000)
"""


def _spawn(code: str, home: Home, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, str(home.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def spawn() -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts a Python process that has `home` and `settings` at hand."""
    return _spawn


@pytest.fixture(scope="module")
def run() -> Callable[..., str]:
    """Return a function that runs code in such a process and returns what it printed."""

    def run(code: str, home: Home, **environment: str) -> str:
        output, errors = _spawn(code, home, **environment).communicate(timeout=120)
        assert "Traceback" not in errors, errors
        return output

    return run


@pytest.fixture(scope="module")
def new_home() -> Iterator[Callable[[], Home]]:
    """Return a maker of homes whose Ray, if any, is ended when the tests are over."""
    homes: list[Home] = []

    def make() -> Home:
        homes.append(Home(Path(tempfile.mkdtemp(prefix="rph-", dir="/tmp"))))
        return homes[-1]

    yield make
    for home in homes:
        with suppress(ClusterError):
            daemon.down(home)
        shutil.rmtree(home.root, ignore_errors=True)
