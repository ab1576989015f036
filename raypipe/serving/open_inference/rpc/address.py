"""Where gRPC listens, and who answers there."""

from __future__ import annotations

import grpc

from raypipe.serving.config import ServingSettings
from raypipe.serving.open_inference.rpc.messages import METHODS, SERVICE

ASK_TIMEOUT_S = 2.0


def address(settings: ServingSettings) -> str:
    """Return where gRPC listens, as grpc spells it."""
    host = settings.host
    return f"{f'[{host}]' if ':' in host else host}:{settings.grpc_port}"


def answers(settings: ServingSettings, model: str) -> bool:
    """Return whether an endpoint for a model answers there already."""
    asked = METHODS["ModelReady"].request(name=model).SerializeToString()
    with grpc.insecure_channel(address(settings)) as channel:
        try:
            reply = channel.unary_unary(f"/{SERVICE}/ModelReady")(asked, timeout=ASK_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(METHODS["ModelReady"].response.FromString(reply).ready)
