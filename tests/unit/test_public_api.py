"""The names that users import are few, and stay."""

from __future__ import annotations

import subprocess
import sys

import raypipe


def test_the_public_names_are_these() -> None:
    assert sorted(raypipe.__all__) == [
        "AsyncClient",
        "Client",
        "Config",
        "DataVersion",
        "Deployment",
        "EndpointHandle",
        "Feedback",
        "Leaderboard",
        "ModelVersion",
        "Outcome",
        "Pipeline",
        "Prediction",
        "RaypipeError",
        "Status",
        "load",
    ]
    assert all(getattr(raypipe, name) is not None for name in raypipe.__all__)
    assert dir(raypipe) == sorted(raypipe.__all__)


def test_importing_raypipe_imports_nothing_heavy() -> None:
    heavy = ("ray", "torch", "xgboost", "sklearn", "polars", "pyarrow", "pandas", "sqlalchemy", "numpy")
    code = f"import raypipe, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_commands_that_read_import_only_what_they_use() -> None:
    heavy = ("ray", "torch", "xgboost", "sklearn", "polars", "pyarrow", "pandas", "sqlalchemy", "deltalake")
    code = (
        "import sys; sys.argv = ['raypipe', 'history', 'none.yaml']\n"
        "import raypipe.cli.main, raypipe.cli.models, raypipe.api.status, raypipe.registry.store\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
