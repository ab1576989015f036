"""A cluster as its record would have it."""

from __future__ import annotations

import os
import socket
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from raypipe.core.home import Home
from raypipe.runtime.state import Cluster, Ports, ProcessId


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def ports() -> Ports:
    return Ports(**{field.name: 20_000 + k for k, field in enumerate(fields(Ports))})


@pytest.fixture
def cluster(ports: Ports, tmp_path: Path) -> Cluster:
    """A cluster whose head is this very process."""
    here = psutil.Process(os.getpid())
    return Cluster(
        id="0123456789abcdef",
        host=socket.gethostname(),
        address="127.0.0.1:20000",
        dashboard_url="http://127.0.0.1:20001",
        token_file=str(tmp_path / "token"),
        folder=str(tmp_path),
        processes=(ProcessId(here.name(), here.pid, here.create_time()), ProcessId("raylet", 2**30, 1.5)),
        ports=ports,
        versions={"ray": "2.60.0"},
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
