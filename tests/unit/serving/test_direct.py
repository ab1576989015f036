from __future__ import annotations

import asyncio
from typing import Any

from raypipe.serving.app import EndpointApp
from raypipe.serving.direct import ShortWay
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator


class Found:
    """Is asked for the endpoint; finds it from the second time on."""

    def __init__(self, app: EndpointApp) -> None:
        self._app = app
        self.n_asked = 0

    def __call__(self) -> EndpointApp | None:
        self.n_asked += 1
        return self._app if self.n_asked > 1 else None


def test_only_the_endpoints_requests_take_the_short_way(endpoint: Endpoint, operator: Operator) -> None:
    found = Found(EndpointApp(endpoint, operator))
    passed: list[str] = []

    async def serves(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope.get("path", scope["type"]))

    async def ask(scope: dict[str, Any]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await way({"method": "GET", "headers": [], **scope}, None, send)  # type: ignore[arg-type]
        return sent[0]["status"] if sent else 0

    async def inner() -> list[int]:
        return [
            await ask({"type": "http", "path": path})
            for path in ("/tiny/health", "/tiny/health", "/-/healthz", "/tiny", "/tiny/status")
        ] + [await ask({"type": "websocket", "path": "/tiny/predict"})]

    way = ShortWay(serves, found)
    assert asyncio.run(inner()) == [0, 200, 0, 0, 200, 0]
    assert passed == ["/tiny/health", "/-/healthz", "/tiny", "/tiny/predict"]
    assert found.n_asked == 2, "it is looked for until it is there"
