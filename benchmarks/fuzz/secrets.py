"""Where a secret may have got to, and who listens beyond this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import psutil

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
METHOD = "/ray.serve.ASGIService/HandleRequest"
TIMEOUT_S = 5


def leaks(secret: str, folders: Iterable[Path], kept_in: Iterable[Path]) -> Iterator[str]:
    """Yield each file but those that are meant to hold a secret, and each process line, that has it."""
    known = {path.resolve() for path in kept_in}
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.resolve() not in known and _holds(path, secret):
            yield str(path)
    for process in psutil.process_iter(["cmdline"]):
        if secret in " ".join(process.info["cmdline"] or ()):
            yield f"the command line of process {process.pid}"


def open_ports(processes: Iterable[psutil.Process]) -> list[tuple[str, int]]:
    """Return the name of each process that listens beyond this machine, with the port."""
    return sorted((process.name(), port) for process in processes for port in _beyond(process))


def grpc_answer(port: int) -> str:
    """Return how a replica's port for Ray's own calls answers one without a token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _holds(path: Path, secret: str) -> bool:
    try:
        return secret.encode() in path.read_bytes()
    except OSError:
        return False  # It went away, as logs of Ray's do.


def _beyond(process: psutil.Process) -> Iterator[int]:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return
    for one in found:
        if one.status == psutil.CONN_LISTEN and one.laddr.ip not in LOOPBACK:
            yield one.laddr.port
