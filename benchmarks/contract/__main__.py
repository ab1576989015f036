"""The command: which peers, how many rows, and the table."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contract.job import RULES, rows

PEERS = ("raypipe", "pandera", "pointblank")
FOLDER = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[2]
HEAD = (
    f"| peer | median s | peak MB beside the table | {' | '.join(RULES)} |\n"
    + "|---" * (3 + len(RULES))
    + "|\n"
)


def main() -> None:
    """Measure what was asked for, and print it as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contract", description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all by default")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--keys", type=int, help="also look for repeats among so many keys")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "raypipe-peers")
    asked = parser.parse_args()
    if unknown := [name for name in asked.peers if name not in PEERS]:
        parser.error(f"PEER must be one of {', '.join(PEERS)}. Got {unknown[0]!r}.")
    sys.stdout.write(HEAD)
    for line in run(asked.peers or PEERS, asked.rows, asked.times, asked.venvs):
        sys.stdout.write(line)
        sys.stdout.flush()
    if asked.keys:
        sys.stdout.write(f"{asked.keys:,} keys: {_told(Path(sys.executable), 'keys', str(asked.keys))}\n")


def run(names: Sequence[str], n_rows: int, n_times: int, venvs: Path) -> Iterator[str]:
    """Yield a line of the table for each peer."""
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        source = Path(folder) / "rows.parquet"
        rows(n_rows).write_parquet(source)
        for name in names:
            python = Path(sys.executable) if name == "raypipe" else python_of(name, venvs)
            found = _told(python, name, str(source), str(n_times))
            counts = " | ".join(f"{found['found'][rule]:,}" for rule in RULES)
            median = statistics.median(found["times_s"])
            yield f"| {name} | {median:.2f} | {found['peak_mb']:,.0f} | {counts} |\n"


def python_of(name: str, venvs: Path) -> Path:
    """Return the interpreter of a peer's environment, made where there is none."""
    requirements = FOLDER / f"{name}.txt"
    python, done = venvs / name / "bin" / "python", venvs / name / "installed.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", str(venvs / name)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(requirements)], check=True)
        done.write_text(requirements.read_text())
    return python


def _told(python: Path, module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), "-m", f"benchmarks.contract.peers.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
