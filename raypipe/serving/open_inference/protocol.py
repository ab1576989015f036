"""What each path of the protocol is answered; the application checks who asks, and reads bodies."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version

import msgspec

from raypipe.core.ids import Json
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.golden import Timer
from raypipe.serving.open_inference.inference import Inference
from raypipe.serving.open_inference.message import HEADER_LENGTH
from raypipe.serving.open_inference.metadata import PLATFORM, config, metadata
from raypipe.serving.open_inference.routes import Route, check_served
from raypipe.serving.open_inference.statistics import Statistics, Timed
from raypipe.serving.reply import Reply
from raypipe.serving.request import RefusedRequest

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_encode = msgspec.json.Encoder().encode


class OpenInference:
    """Answers for one endpoint by the protocol."""

    def __init__(self, endpoint: Endpoint, timer: Timer = time.perf_counter) -> None:
        self._endpoint = endpoint
        self._timer = timer
        self._statistics = Statistics()

    def describe(self, route: Route) -> Reply:
        """Answer whatever needs nothing but its path."""
        try:
            return Reply(200, _encode(self.described(route)))
        except RefusedRequest as error:
            return self._endpoint.refuse(error.status, str(error))

    def timed(self) -> Timed:
        """Begin to time a request."""
        return Timed(self._statistics, self._timer, self._timer())

    def inference(self, route: Route, headers: dict[bytes, bytes], body: bytes) -> Inference:
        """Return what a complete request asks of the version that answers it."""
        return Inference(self._endpoint.name, route, headers.get(HEADER_LENGTH), body, self.timed())

    def counted(self, timed: Timed, reply: Reply) -> Reply:
        """Count an inference that was refused, and return its reply; one that was answered is counted."""
        if reply.status != 200:
            timed.refused(self._endpoint.versions.current.loaded.pointer.version)
        return reply

    def described(self, route: Route) -> Json:
        """Return what is answered to whatever needs nothing but its path; raises RefusedRequest."""
        name, served = self._endpoint.name, self._endpoint.versions.current.loaded
        check_served(route, name, served)
        serving = served.pointer.version
        match route.kind:
            case "server":
                return {"name": PLATFORM, "version": version("raypipe"), "extensions": list(EXTENSIONS)}
            case "live" | "ready":
                return {route.kind: True}
            case "model ready":
                return {"name": name, "version": serving, "ready": True}
            case "stats":
                return {"model_stats": [self._statistics.to_json(name, serving)]}
            case "index":
                return [{"name": name, "version": serving, "state": "READY", "reason": ""}]
            case "config":
                return config(name, served, self._endpoint.settings.max_rows)
            case "model" | "infer":
                return metadata(name, served)


def in_protocol(reply: Reply) -> Reply:
    """Return a refusal in the protocol's form, and any other reply as it is."""
    if reply.status < 400:
        return reply
    message = msgspec.json.decode(reply.body)["error"]["message"]
    return replace(reply, body=_encode({"error": message}))
