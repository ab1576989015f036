"""Commands that only ask the endpoint must not pay for what answers it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "numpy",
    "pyarrow",
    "polars",
    "ray",
    "pydantic",
    "sqlalchemy",
    "msgspec",
    "torch",
    "xgboost",
    "sklearn",
}


def test_the_client_imports_nothing_heavy() -> None:
    program = "import sys, raypipe.serving.client; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(found.stdout.split())
