"""What a replica is built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import raypipe
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import content_id, sha256_file
from raypipe.serving.config import ServingSettings


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
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::") else self.settings.host
        return f"http://{host}:{self.settings.port}/{self.name}"

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
