"""The modules that an exported folder needs: those that its runtime imports, and what these import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import raypipe

RUNTIME = "raypipe.serving.edge.runtime"
_ROOT = Path(raypipe.__file__).parent.parent


def needed_modules(start: str = RUNTIME) -> dict[str, Path]:
    """Return the modules of raypipe that `start` imports at some time, by the path of their files.

    Imports for type checkers alone do not count.
    """
    found: dict[str, Path] = {}
    todo = [start]
    while todo:
        name = todo.pop()
        path = _file_of(name)
        if path is None or name in found:
            continue
        found[name] = path
        todo += [parent for parent in _parents(name) if parent not in found]
        todo += _imported(ast.parse(path.read_text(encoding="utf-8")).body)
    return dict(sorted(found.items()))


def copy_modules(folder: Path) -> tuple[str, ...]:
    """Copy the needed modules into a folder, and return their paths there."""
    copied = []
    for path in needed_modules().values():
        name = path.relative_to(_ROOT).as_posix()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
        copied.append(name)
    return tuple(copied)


def _file_of(module: str) -> Path | None:
    place = _ROOT.joinpath(*module.split("."))
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imported(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import):
                yield from (alias.name for alias in inner.names if alias.name.startswith("raypipe"))
            elif isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("raypipe"):
                yield str(inner.module)
                yield from (f"{inner.module}.{alias.name}" for alias in inner.names)
