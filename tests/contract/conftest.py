"""A real PostgreSQL server for the tests that need one: started here, where the machine has its programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

PASSWORD = "p@ss:word"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the URL of a server of its own, as whoever runs the tests, or as nobody where that is root."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    programs = [_program(name) for name in ("initdb", "postgres")]
    if not all(programs):
        pytest.skip("no PostgreSQL server is installed here (initdb and postgres are not found)")
    folder = Path(tempfile.mkdtemp(prefix="rp-pg-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    try:
        yield from _served(*programs, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else "")


def _served(initdb: str, postgres: str, folder: Path, user: str | None) -> Iterator[str]:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    rules = ["-A", "scram-sha-256", "-U", "raypipe", f"--pwfile={secret}", "-E", "UTF8", "--no-sync"]
    subprocess.run([initdb, "-D", data, *rules], check=True, capture_output=True, user=user, cwd=folder)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([postgres, *options], user=user, cwd=folder, **quiet)
    try:
        _wait(port, process)
        yield f"postgresql+psycopg://raypipe:p%40ss%3Aword@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="raypipe", password=PASSWORD, dbname="postgres"
            ).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
    raise AssertionError("the server did not come up in 30 seconds")
