"""The Ray that is there: the configured address, the home's own, or one for the moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from raypipe.config.settings import ClusterSettings
from raypipe.core.home import Home
from raypipe.runtime.connection import Connection, connect, current, local
from raypipe.runtime.status import status


@contextmanager
def session(settings: ClusterSettings, home: Home) -> Iterator[Connection]:
    """Connect this process to a Ray for as long as the block lasts; raises ClusterError.

    That is the one at `settings.address`, else the one that runs for the home, else the one that this process
    is connected to already, else a private one.
    """
    joined = settings.address is not None or status(home).state == "running"
    here = None if joined else current()
    if here is not None:
        yield here
        return
    with connect(settings, home) if joined else local(settings) as connection:
        yield connection
