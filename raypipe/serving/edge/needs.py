"""The packages that an exported folder needs, in the versions that are here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from packaging.requirements import Requirement

from raypipe.core.errors import ArtifactError
from raypipe.processing.steps import FittedFunction, FittedTransformer
from raypipe.processing.transform import FittedTransform

_ALWAYS = ("numpy", "msgspec")
_PACKAGED = ("sklearn", "xgboost")
_BY_FORMAT = {
    "linear-safetensors": ("safetensors",),
    "xgboost-ubj": ("xgboost",),
    "torch-mlp-safetensors": ("torch", "safetensors"),
    "network-safetensors": ("torch", "safetensors"),
    "sklearn-skops": ("scikit-learn", "skops"),
    "onnx": ("onnx", "onnxruntime"),
}


def needed_packages(format: str, transform: FittedTransform, files: Iterable[str]) -> tuple[str, ...]:
    """Return the packages without which the folder does not answer."""
    needed = [*_ALWAYS, *_BY_FORMAT.get(format, ())]
    if any(name.endswith(".arrow") for name in files):
        needed.append("pyarrow")
    for step in transform.steps:
        if isinstance(step, FittedFunction):
            needed += ["polars", "pyarrow"]
        elif isinstance(step, FittedTransformer):
            needed += ["scikit-learn", "skops"]
    return tuple(dict.fromkeys(needed))


def own_needs(folder: Path, format: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the packages that a model of the user's own needs besides, and the import paths of its code.

    Raises ArtifactError for a pickle, which only its home loads.
    """
    from raypipe.training.own.description import NAME, OwnDescription

    if format == "pickle-signed":
        raise ArtifactError(
            "a model that is kept as a signed pickle is loaded only in its home, and not exported; give "
            "its class `save` and `load` instead of `allow_pickle`."
        )
    if not (folder / NAME).exists():
        return (), ()
    told = OwnDescription.read(folder)
    named = [path for path in (told.path, told.load_path) if path is not None]
    code = [path for path in named if path.partition(".")[0].partition(":")[0] not in _PACKAGED]
    return ("pandas",) if told.feature_names is not None else (), tuple(dict.fromkeys(code))


def pinned(packages: Iterable[str]) -> list[str]:
    """Return lines of a requirements file; a local part of a version, such as +cpu, is no one's but here."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in packages]


def importable(packages: Iterable[str]) -> list[str]:
    """Return the top-level modules of packages and of all that they need in turn."""
    wanted: set[str] = set()
    todo = list(packages)
    while todo:
        name = _normal(todo.pop())
        if name in wanted:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        wanted.add(name)
        parsed = map(Requirement, requirements)
        todo += [one.name for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]
    owners = packages_distributions()
    tops = {top for top, names in owners.items() if wanted.intersection(map(_normal, names))}
    return sorted({*tops, *sys.stdlib_module_names, "raypipe"})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
