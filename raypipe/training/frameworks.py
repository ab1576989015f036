"""The libraries that a model's numbers may depend on."""

from __future__ import annotations

from importlib.metadata import version

_NAMES = ("raypipe", "numpy", "polars", "scikit-learn", "xgboost", "torch")


def frameworks() -> dict[str, str]:
    """Return their installed versions."""
    return {name: version(name) for name in _NAMES}
