"""The short way to the endpoint: what a replica's server hands over before Serve's own work per request.

Serve's replica gives each request an id, two tasks and a wait, a line for its access log and counters of its
own, in Python: more than the endpoint itself takes. The endpoint counts, bounds and logs for itself, and says
how busy it is, so that its requests pass by; Serve's own paths (`/-/healthz`) do not.
"""

from __future__ import annotations

from collections.abc import Callable

from raypipe.serving.app import Asgi, EndpointApp, Scope, Send
from raypipe.serving.bodies import Receive
from raypipe.serving.one_write import hold


class ShortWay:
    """Hands requests below the endpoint's prefix to the endpoint, and all others to the server's application.

    `find` returns the endpoint, or None while there is none; it is asked until it has returned one.
    """

    def __init__(self, app: Asgi, find: Callable[[], EndpointApp | None]) -> None:
        self._app = app
        self._find = find
        self._endpoint: EndpointApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint = self._endpoint or self._found()
        if endpoint is not None and scope["type"] == "http" and scope["path"].startswith(endpoint.prefix):
            await _answer(endpoint, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _found(self) -> EndpointApp | None:
        self._endpoint = self._find()
        return self._endpoint


async def _answer(endpoint: EndpointApp, scope: Scope, receive: Receive, send: Send) -> None:
    held = hold(send)
    try:
        await endpoint(scope, receive, send)
    finally:
        if held is not None:
            held.flush()
