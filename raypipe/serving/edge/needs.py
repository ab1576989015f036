"""The packages that an exported folder needs, in the versions that are here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version

from packaging.requirements import Requirement

from raypipe.processing.steps import FittedFunction, FittedTransformer
from raypipe.processing.transform import FittedTransform

_ALWAYS = ("numpy", "msgspec")
_BY_FORMAT = {
    "linear-safetensors": ("safetensors",),
    "xgboost-ubj": ("xgboost",),
    "torch-mlp-safetensors": ("torch", "safetensors"),
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
