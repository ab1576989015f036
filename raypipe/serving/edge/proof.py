"""A proof of an exported folder: a process that can import nothing but what it names answers known rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json

TIMEOUT_S = 300
_PROGRAM = """
import json, runpy, sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
allowed = frozenset(json.loads(sys.argv[1]))
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in allowed or top.startswith("_sysconfigdata")
        return PathFinder.find_spec(name, path, target) if known else None
sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Finder]
del sys.argv[0:2]
sys.path[:] = [one for one in sys.path if one]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Checked:
    """How a folder answered rows of one kind again; what it refused is no request any more."""

    n_rows: int
    n_exact: int
    n_close: int
    n_refused: int
    largest_difference: float

    def to_json(self) -> dict[str, Json]:
        return dict(vars(self))


def prove(folder: Path, modules: Sequence[str], answered: Sequence[Mapping[str, Json]]) -> dict[str, Checked]:
    """Have a folder answer its golden rows and the given ones in a process of its own.

    Only `modules`, named by their first part, can be imported there. Raises ArtifactError where the folder
    does not run, or answers otherwise.
    """
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "answered.jsonl"
        file.write_text("".join(f"{json.dumps(one)}\n" for one in answered), encoding="utf-8")
        script = str((folder / "score.py").absolute())
        command = [sys.executable, "-c", _PROGRAM, json.dumps([*modules, "score"]), script, "--check"]
        done = subprocess.run(
            [*command, "--answered", str(file)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=place,
        )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ArtifactError(f"the exported folder does not run by itself: {lines[-1]}") from None
    for kind in ("golden", "captured"):
        if told[kind]["n_other"]:
            raise ArtifactError(_otherwise(kind, told[kind]))
    return {kind: _checked(told[kind]) for kind in ("golden", "captured")}


def _otherwise(kind: str, told: Mapping[str, Json]) -> str:
    others = told["others"]
    example = json.dumps(others[0], ensure_ascii=False)[:300] if isinstance(others, list) else ""
    return (
        f"the exported folder answers {told['n_other']} of {told['n_rows']} {kind} rows otherwise than the "
        f"endpoint did, such as {example}: nothing is exported."
    )


def _checked(told: Mapping[str, Json]) -> Checked:
    counts = (told[name] for name in ("n_rows", "n_exact", "n_close", "n_refused", "largest_difference"))
    return Checked(*counts)  # type: ignore[arg-type]
