"""Ports that an endpoint shall listen on."""

from __future__ import annotations

import socket

from raypipe.core.errors import ServingError


def require_port(host: str, port: int, setting: str, *, shared: bool = False) -> None:
    """Raise ServingError where nothing can listen on a port; `setting` is what names it in the config.

    `shared` lets others of this user listen there too, if they share it as well.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServingError(
                f"{setting} {port} on {host} cannot be used ({error.strerror}); "
                "end the program that holds it, or set another port."
            ) from error
