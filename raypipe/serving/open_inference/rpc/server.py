"""The server of gRPC that a replica has beside HTTP."""

from __future__ import annotations

import grpc

from raypipe.serving.app import EndpointApp
from raypipe.serving.config import ServingSettings
from raypipe.serving.listening import require_port
from raypipe.serving.open_inference.rpc.address import address
from raypipe.serving.open_inference.rpc.service import Service

GRACE_S = 5.0
"""How long calls in progress may take when a replica leaves."""
MAX_CONNECTION_AGE_S = 60.0
"""How long a connection is kept, about: its client then opens another, and no call fails. So calls come to
replicas that are added, which connections of old clients would never reach."""
_IDENTITY = 1


class RpcDoor:
    """Answers the protocol over gRPC at `serving.grpc_port`.

    Replicas of one machine listen on the port together, and the kernel gives each connection to one of them.
    Raises ServingError where the port cannot be had.
    """

    def __init__(self, app: EndpointApp) -> None:
        self._app = app
        settings = app.endpoint.settings
        self._address = address(settings)
        require_port(settings.host, settings.grpc_port or 0, "serving.grpc_port", shared=True)
        self._server: grpc.aio.Server | None = None

    async def open(self) -> None:
        """Begin to answer."""
        settings = self._app.endpoint.settings
        server = grpc.aio.server(
            options=_options(settings), maximum_concurrent_rpcs=settings.max_ongoing_requests
        )
        server.add_generic_rpc_handlers((Service(self._app).handler(),))
        server.add_insecure_port(self._address)
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Take no more calls, and answer those in progress."""
        if self._server is not None:
            await self._server.stop(GRACE_S)


def _options(settings: ServingSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_connection_age_ms", round(1000 * MAX_CONNECTION_AGE_S)),
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        # A compressed message may be small and hold gigabytes.
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY),
    ]
