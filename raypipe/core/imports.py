"""Code of the user's own, found by import path: `package.module:name`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from raypipe.core.errors import ArtifactError


def loaded(path: str, folder: str | None = None) -> Any:
    """Return what an import path names; raises ArtifactError where there is no such thing.

    Modules are looked for where Python looks, and after that in `folder`.
    """
    if folder is not None and folder not in sys.path and Path(folder).is_dir():
        sys.path.append(folder)
        importlib.invalidate_caches()
        _loaded.cache_clear()
    return _loaded(path)


@lru_cache
def _loaded(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be imported ({type(error).__name__}: {error}); install it, or put it on "
            "PYTHONPATH, here and wherever models are trained and served."
        ) from error


def source_digest(path: str) -> str:
    """Return the SHA-256 of the text of what an import path names; of its path where there is no text."""
    try:
        text = inspect.getsource(loaded(path))
    except (OSError, TypeError):
        text = path
    return hashlib.sha256(text.encode()).hexdigest()


def modules_digest(path: str, folder: str | None = None) -> str:
    """Return the SHA-256 of the files of the modules that an import path names, and where its object is from.

    What these import in turn is not counted.
    """
    found = loaded(path, folder)
    kind = found if inspect.isclass(found) or inspect.isfunction(found) else type(found)
    names = {path.partition(":")[0], kind.__module__}
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + b"\0" + _bytes_of(sys.modules[name]))
    return digest.hexdigest()


def _bytes_of(module: ModuleType) -> bytes:
    file = getattr(module, "__file__", None)
    return b"" if file is None else Path(file).read_bytes()
