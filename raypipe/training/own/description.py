"""What is kept beside a model of the user's own: the code that it needs, and what it takes and answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from raypipe.core.errors import ArtifactError
from raypipe.core.files import write_json
from raypipe.core.ids import Json
from raypipe.core.imports import loaded, modules_digest

NAME = "own.json"
MAX_INPUT = 10.0
_log = logging.getLogger("raypipe.training")


@dataclass(frozen=True)
class OwnDescription:
    """Everything but the numbers that were learned."""

    path: str
    """The import path of the class, factory, object or function."""
    code_sha256: str
    """Of the files of the modules that the path names, when the model was made."""
    code_folder: str | None
    """Where modules are looked for that are not installed."""
    n_features: int
    n_classes: int
    """0 for a regression."""
    feature_names: tuple[str, ...] | None = None
    """The columns of the frame that the model takes; None where it takes an array."""
    params: Mapping[str, Json] = field(default_factory=dict)
    """What the function or the network's class is called with."""
    load_path: str | None = None
    """The function of the user's own that loads the model."""
    is_positional: bool = False
    """Whether probabilities are of the task's classes in their order, whatever the model calls them."""
    max_input: float | None = MAX_INPUT
    """Where scaled inputs of a network are cut; None: they are not."""
    target_mean: float = 0.0
    target_scale: float = 1.0

    def code(self) -> Any:
        """Return what the path names, and say in the log where its code is other than it was.

        Raises ArtifactError where it is gone.
        """
        found = loaded(self.path, self.code_folder)
        now = modules_digest(self.path, self.code_folder)
        if now != self.code_sha256:
            _log.warning(
                "the code of %s has changed since the model was made (SHA-256 %s, now %s); if it answers its "
                "golden rows otherwise, it is not loaded",
                self.path,
                self.code_sha256[:12],
                now[:12],
            )
        return found

    def write(self, folder: Path) -> None:
        """Write it into a model's folder."""
        write_json(folder / NAME, asdict(self))

    @staticmethod
    def read(folder: Path) -> OwnDescription:
        """Read what `write` wrote; raises ArtifactError."""
        try:
            value = json.loads((folder / NAME).read_bytes())
            names = value.pop("feature_names")
            read = OwnDescription(**value, feature_names=None if names is None else tuple(names))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ArtifactError(
                f"{folder / NAME} says of no model what it needs: {error}; restore the folder."
            ) from error
        if (type(read.path), type(read.n_features), type(read.n_classes)) != (str, int, int):
            raise ArtifactError(f"{folder / NAME} must name a path and whole numbers; restore the folder.")
        return read
