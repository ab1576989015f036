"""How much memory a whole `raypipe run` takes: rows, features, a race of two trials, judged and registered.

The rows are those of `benchmarks.processing`, with a label that follows from them, in no order of time.
Memory is summed over the process and all its descendants, what several share counted once, every 0.2 s: what
is held (its own, and shared memory such as Ray's object store), and, beside it, pages of mapped files, which
the kernel takes back where it needs room.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from benchmarks.processing.job import FEW, MANY, TIME, rows_of

CHUNK_ROWS = 1_000_000
HELD_OUT_ROWS = 100_000
"""About so many rows choose, and as many judge: intervals of more take minutes and tell no more."""
_EVERY_S = 0.2
_MB = 1e6
_HELD, _MAPPED = ("Pss_Anon", "Pss_Shmem"), ("Pss_File",)
HEAD = "| rows | stage | s | held MB | mapped MB |\n" + "|---" * 5 + "|\n"


def main() -> None:
    """Run once for each number of rows, and print a line a stage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_memory", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[1_000_000])
    parser.add_argument("--families", nargs="+", default=["linear", "xgboost"])
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="of `processing`")
    asked = parser.parse_args()
    sys.stdout.write(HEAD)
    for n_rows in asked.rows:
        with tempfile.TemporaryDirectory(prefix="run-memory-") as folder:
            write_config(Path(folder), n_rows, asked.families, asked.minutes, dict(_settings(asked.set)))
            for one in measured(Path(folder)):
                sys.stdout.write(_line(n_rows, *one))
                sys.stdout.flush()


def write_config(
    folder: Path, n_rows: int, families: list[str], minutes: float, processing: dict[str, object]
) -> None:
    """Write rows, and the config of a run over them."""
    write_rows(folder / "rows.parquet", n_rows)
    share = min(0.2, HELD_OUT_ROWS / n_rows)
    config = {
        "name": "memory",
        "home": str(folder / "home"),
        "data": {
            "sources": [{"name": "rows", "format": "parquet", "path": str(folder / "rows.parquet")}],
            "label": "y",
            "time": TIME,
            "split": {"validation": share, "test": share},
        },
        "processing": {
            "numeric": {"impute": "mean", "indicator": False},
            "columns": [{"match": [FEW, MANY], "encode": "ordinal", "order": "lexical", "min_count": 1}],
            **processing,
        },
        "training": {
            "families": families,
            "budget": {"trials": len(families), "minutes": minutes},
            "resources": {"max_concurrent": 1},
        },
    }
    (folder / "raypipe.yaml").write_text(json.dumps(config))


def write_rows(path: Path, n_rows: int, seed: int = 0) -> None:
    """Write seeded rows with a label that two of the columns say half of."""
    writer = None
    for start in range(0, n_rows, CHUNK_ROWS):
        random = np.random.default_rng([seed, start])
        rows = rows_of(random, min(CHUNK_ROWS, n_rows - start))
        told = pc.fill_null(rows["x1"], 1.0).to_numpy() + random.normal(0, 2, rows.num_rows) > 1
        rows = rows.append_column("y", pa.array(told.astype(np.int64)))
        writer = writer or parquet.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
    if writer is not None:
        writer.close()


def measured(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """Yield the seconds and the peaks of each stage as it ends, and last of all together."""
    command = [sys.executable, "-c", "from raypipe.cli.main import main; main()", "run", "raypipe.yaml"]
    lines = folder / "told"
    start, stage, peaks = time.monotonic(), "start", (0.0, 0.0)
    began, whole = start, (0.0, 0.0)
    with lines.open("wb") as told:
        process = subprocess.Popen(command, cwd=folder, stdout=told, stderr=told)
        while process.poll() is None:
            if (now := _stage(lines)) != stage:
                yield stage, time.monotonic() - began, *peaks
                stage, began, peaks = now, time.monotonic(), (0.0, 0.0)
            found = _memory(psutil.Process(process.pid))
            peaks, whole = _larger(peaks, found), _larger(whole, found)
            time.sleep(_EVERY_S)
    if process.returncode:
        raise RuntimeError(lines.read_text()[-4000:])
    yield stage, time.monotonic() - began, *peaks
    yield "whole run", time.monotonic() - start, *whole
    shutil.rmtree(folder / "home")


def _larger(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), max(one[1], other[1])


def _stage(lines: Path) -> str:
    """Return the stage that the newest line of progress is about."""
    parts = [line.split() for line in lines.read_text().splitlines()]
    return next((one[2] for one in reversed(parts) if len(one) > 2 and one[1] == "s"), "start")


def _memory(tree: psutil.Process) -> tuple[float, float]:
    held = mapped = 0.0
    for process in _all(tree):
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        pages = {line.split(":")[0]: float(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
        held += sum(pages.get(name, 0.0) for name in _HELD)
        mapped += sum(pages.get(name, 0.0) for name in _MAPPED)
    return held / _MB, mapped / _MB


def _all(tree: psutil.Process) -> list[psutil.Process]:
    try:
        return [tree, *tree.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _settings(said: list[str]) -> Iterator[tuple[str, object]]:
    for one in said:
        key, value = one.split("=", 1)
        yield key, json.loads(value)


def _line(n_rows: int, stage: str, seconds: float, held: float, mapped: float) -> str:
    return f"| {n_rows:,} | {stage} | {seconds:.1f} | {held:,.0f} | {mapped:,.0f} |\n"


if __name__ == "__main__":
    main()
