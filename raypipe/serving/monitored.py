"""What the controller measured last, as it left it in the home, for whoever asks the endpoint."""

from __future__ import annotations

import json
from pathlib import Path

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json


class Monitored:
    """Reads the controller's files when they have changed."""

    def __init__(self, folder: PipelineHome) -> None:
        self._paths = {"window": folder.window, "outlook": folder.outlook}
        self._read: dict[Path, tuple[int, Json]] = {}

    def read(self) -> Json:
        """Return the last `window` and `outlook`, null where there is none, or none that can be read."""
        return {name: self._newest(path) for name, path in self._paths.items()}

    def _newest(self, path: Path) -> Json:
        try:
            changed_at = path.stat().st_mtime_ns
            if self._read.get(path, (None, None))[0] != changed_at:
                self._read[path] = changed_at, json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return self._read[path][1]
