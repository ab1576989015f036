"""The benchmarks run, small; what they measure is for their own output."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_row_transform_measures_both() -> None:
    result = load("row_transform").measure(n_rows=300, n_calls=20)
    assert result.raypipe_us > 0 and result.sklearn_us > 0
    assert result.ratio == result.sklearn_us / result.raypipe_us
