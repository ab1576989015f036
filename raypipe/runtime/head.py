"""What runs inside `ray start` just before it starts its processes."""

from __future__ import annotations

from typing import Protocol


class RayParams(Protocol):
    """The part of Ray's own start parameters that is changed here."""

    ray_client_server_port: int | None


def trim(params: RayParams, is_head: bool) -> None:
    """Leave out the Ray Client server, which raypipe does not use and `ray start` has no option to leave out.

    It would take 90 MB and listen on one more port.
    """
    if is_head:
        params.ray_client_server_port = None
