"""What a replica is built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import raypipe
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import content_id, sha256_file
from raypipe.serving.config import ServingSettings
from raypipe.serving.token import read_token


@dataclass(frozen=True)
class EndpointSpec:
    """A pipeline's endpoint: its name, the home that holds its versions, and its settings."""

    name: str
    home: Path
    settings: ServingSettings

    @property
    def folder(self) -> PipelineHome:
        """The pipeline's folder in the home."""
        return Home(self.home).pipeline(self.name)

    @property
    def url(self) -> str:
        """Where the endpoint answers."""
        return f"http://{self._host}:{self.settings.port}/{self.name}"

    @property
    def grpc_address(self) -> str | None:
        """Where the endpoint answers over gRPC; None where it does not."""
        port = self.settings.grpc_port
        return None if port is None else f"{self._host}:{port}"

    @property
    def _host(self) -> str:
        """What a client on this machine asks."""
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::") else self.settings.host
        return f"[{host}]" if ":" in host else host

    @property
    def operator_token_file(self) -> Path:
        """The file with the token that guards releases, and the status where requests need a token."""
        return Home(self.home).operator_token

    @property
    def token_file(self) -> Path | None:
        """The file with the token that predictions and labels need; None where they need none."""
        if not self.settings.asks_for_token:
            return None
        named = self.settings.token_file
        return Home(self.home).serving_token if named is None else Path(named)

    def token(self) -> str | None:
        """Return what to show for predictions and labels; None where nothing is asked or known."""
        return None if self.token_file is None else read_token(self.token_file)

    def status_token(self) -> str | None:
        """Return what to show for the status; None where nothing is asked or known."""
        return None if self.token_file is None else read_token(self.operator_token_file)

    @property
    def id(self) -> str:
        """Name spec and code: replicas with an equal id need no restart."""
        return content_id(
            "e",
            {
                "name": self.name,
                "home": str(self.home.resolve()),
                "settings": self.settings.model_dump(mode="json"),
                "code": code_id(),
            },
        )


def code_id() -> str:
    """Return an id of raypipe's own code as installed here."""
    root = Path(raypipe.__file__).parent
    files = sorted(root.rglob("*.py"))
    return content_id("c", {path.relative_to(root).as_posix(): sha256_file(path) for path in files})
