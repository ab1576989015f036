"""kill -9 of `raypipe score` again and again: the folder comes to hold each row once, in order."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.config.load import load_config
from raypipe.core.clock import SystemClock
from raypipe.registry.store import Registry
from raypipe.testing.serving import register_tiny_version

RAYPIPE = (sys.executable, "-c", "from raypipe.cli.main import main; main()")
N_FILES, N_ROWS, N_KILLS = 10, 20_000, 2
CONFIG = """
name: tiny
home: home
data: {sources: [{name: files, format: csv, path: none.csv}], label: outcome}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "raypipe.yaml"
    file.write_text(CONFIG)
    loaded = load_config(file)
    loaded.root.prepare()
    registry = Registry(loaded.root.registry_url, SystemClock())
    register_tiny_version(registry, loaded.folder)
    registry.set_alias("tiny", "champion", "v1", reason="the first")
    (tmp_path / "rows").mkdir()
    for number in range(N_FILES):
        ids = range(number * N_ROWS, (number + 1) * N_ROWS)
        colours = ["red" if id % 1000 else None for id in ids]
        table = pa.table({"size": ids, "colour": colours, "member": [True] * N_ROWS})
        parquet.write_table(table, tmp_path / "rows" / f"{number:02}.parquet")
    return file


def command(config: Path, output: Path) -> list[str]:
    rows = str(config.parent / "rows")
    return [
        *RAYPIPE,
        "score",
        str(config),
        rows,
        "--to",
        str(output),
        "--keep",
        "size",
        "--on",
        "local",
        "--json",
    ]


def parts(output: Path) -> list[Path]:
    return sorted(output.glob("part-*.parquet"))


def test_a_killed_job_goes_on_and_no_row_is_lost_or_doubled(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    kept: dict[str, int] = {}
    for number in range(N_KILLS):
        with subprocess.Popen(command(config, output), stderr=subprocess.PIPE, text=True) as process:
            while len(parts(output)) < 3 * number + 2:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert {path.name: path.stat().st_mtime_ns for path in parts(output)}.items() >= kept.items()
        kept = {path.name: path.stat().st_mtime_ns for path in parts(output)}
    assert 0 < len(kept) < N_FILES

    done = subprocess.run(command(config, output), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    n_bad = N_FILES * N_ROWS // 1000
    assert (told["n_before"], told["n_rows"]) == (len(kept), N_FILES * N_ROWS)
    assert (told["n_scored"], told["n_rejected"]) == (N_FILES * N_ROWS - n_bad, n_bad)
    assert {path.name: path.stat().st_mtime_ns for path in parts(output)}.items() >= kept.items()
    assert [path.name for path in output.rglob("*.tmp")] == [], "what a killed writer left is gone"
    scored = parquet.read_table(output)["size"].to_pylist()
    assert scored == [id for id in range(N_FILES * N_ROWS) if id % 1000]
    lines = [
        line for file in sorted((output / "_rejected").iterdir()) for line in file.read_text().splitlines()
    ]
    assert [json.loads(line)["received"]["size"] for line in lines] == list(range(0, N_FILES * N_ROWS, 1000))
    manifest = json.loads((output / "_manifest.json").read_text())
    assert manifest["is_complete"]
    assert {one["file"]: one["sha256"] for one in manifest["parts"]} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts(output)
    }
