"""Ways to do the job: each a function of a module that only the process which measures it imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

Run = Callable[[Path, Path], None]
"""Takes the file of rows, and a folder to make and to fill with files of features."""


@dataclass(frozen=True)
class Peer:
    """One way to do the job."""

    title: str
    place: str
    """`module:function` in this package."""
    needs_ray: bool = False
    keeps_order: bool = True
    """Whether the files, by name, hold the rows in the order of the source."""

    def load(self) -> Run:
        """Import what does it."""
        module, name = self.place.split(":")
        run: Run = getattr(import_module(f"{__name__}.{module}"), name)
        return run


PEERS: Mapping[str, Peer] = {
    "raypipe": Peer("raypipe, here", "by_raypipe:here"),
    "polars": Peer("hand-written polars, streaming", "by_polars:run"),
    "sklearn": Peer("pandas + scikit-learn", "by_sklearn:run"),
    "raypipe-ray": Peer("raypipe over Ray Data", "by_raypipe:over_ray", needs_ray=True),
    "ray-map": Peer("Ray Data: aggregate, then a map", "by_ray:by_map", True, keeps_order=False),
    "ray-chain": Peer("Ray Data: chain of preprocessors", "by_ray:by_chain", True, keeps_order=False),
}
