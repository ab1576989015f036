"""`--explain` starts no Ray: it does not even import it, nor what trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

HEAVY = {"ray", "torch", "xgboost", "sklearn", "optuna", "deltalake"}


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": [1, 2], "y": [0, 1]}), tmp_path / "rows.parquet")
    config = tmp_path / "raypipe.yaml"
    source = '{name: files, format: parquet, path: "rows.parquet"}'
    config.write_text(f"name: credit\nhome: home\ndata: {{sources: [{source}], label: y}}\n")
    program = (
        "import sys; from typer.testing import CliRunner; from raypipe.cli.main import app; "
        f"done = CliRunner().invoke(app, ['up', {str(config)!r}, '--explain']); print(done.exit_code); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, modules = done.stdout.splitlines()
    assert code == "0"
    assert HEAVY.isdisjoint(modules.split())
    assert not (tmp_path / "home").exists()
