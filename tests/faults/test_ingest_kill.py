"""kill -9 of `ingest --follow` at random moments: no row is lost, and none is there twice.

One process forks workers that follow two growing sources, a database table by its cursor and a folder in
which files arrive, and kills each after a random time. What is in the last version is then compared with
what the writer wrote, by count and by hash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = """
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from raypipe.core.clock import SystemClock
from raypipe.core.home import Home
from raypipe.core.progress import silent
from raypipe.data.config import DataSettings
from raypipe.data.follow import follow
from raypipe.data.fragments import read_quarantine, read_rows
from raypipe.data.ingest import ingest
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import Registry
import raypipe.data.sources.files, raypipe.data.sources.sql

place, n_kills, longest_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
draw = random.Random(int(sys.argv[4]))
home = Home(place / "home")
home.prepare()
folder = home.pipeline("p")
rules = {"columns": {"value": {"max": 900}}, "max_bad_ratio": 1}
settings = DataSettings.model_validate(
    {
        "sources": [
            {"name": "table", "format": "sql", "url": f"sqlite:///{place}/rows.db", "table": "rows",
             "cursor": "id", "batch_rows": 1000},
            {"name": "files", "format": "parquet", "path": str(place / "rows")},
        ],
        "label": "y",
        "contract": rules,
    }
)

def registry():
    return Registry(home.registry_url, SystemClock())

def once():
    return ingest(settings, folder, PipelineVersions(registry(), "p"), clock=SystemClock())

def row(number):
    return number, (number * 7919) % 1000, number % 2

def write_table(connection, numbers):
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", [row(number) for number in numbers])
    connection.commit()

def write_file(number, numbers):
    columns = list(zip(*(row(n) for n in numbers)))
    names = ("id", "value", "y")
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in zip(names, columns)})
    arriving = place / "rows" / f".{number:06d}"
    parquet.write_table(table, arriving)
    arriving.rename(place / "rows" / f"{number:06d}.parquet")

def write(stop):
    # Each row is written once; ids of files follow a million.
    connection = sqlite3.connect(place / "rows.db", timeout=30)
    next_id, next_file = 2, 1
    while not os.path.exists(stop):
        n_rows = draw.randint(1, 30)
        write_table(connection, range(next_id, next_id + n_rows))
        next_id += n_rows
        if draw.random() < 0.05:
            start = 1_000_000 + next_file * 100
            write_file(next_file, range(start, start + draw.randint(1, 100)))
            next_file += 1
        time.sleep(0.02)

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return child

(place / "rows").mkdir()
first = sqlite3.connect(place / "rows.db")
first.execute("PRAGMA journal_mode=WAL")
first.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value INTEGER, y INTEGER)")
write_table(first, [1])
first.close()
write_file(0, range(1_000_000, 1_000_010))
stop = place / "stop"
writer = forked(lambda: write(stop))
began = time.monotonic()
for number in range(n_kills):
    done, tell = os.pipe()

    def told():
        version = once()
        os.write(tell, b".")
        return version

    worker = forked(
        lambda: follow(told, threading.Event(), newest=None, every_s=0.0, max_batches=None, progress=silent)
    )
    os.close(tell)
    if number % 2:
        # After a batch, however slow the machine is; else at any moment since its start.
        os.read(done, 1)
    time.sleep(draw.random() * longest_s)
    os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    os.close(done)
    assert os.WIFSIGNALED(status), "the worker ended by itself"
elapsed_s = time.monotonic() - began
stop.touch()
os.waitpid(writer, 0)

version = once()
found = read_rows(folder, version)
written = [tuple(one) for one in sqlite3.connect(place / "rows.db").execute("SELECT id, value, y FROM rows")]
for path in sorted((place / "rows").glob("*.parquet")):
    written += [tuple(one.values()) for one in parquet.read_table(path).to_pylist()]

def digest(rows):
    return hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()

kept = [tuple(one.values()) for one in found.to_pylist()]
bad = [json.loads(one["row"]) for one in read_quarantine(folder, version).to_pylist()]
history = registry().data_versions("p")
whole = {one.id: read_rows(folder, one, ["id"])["id"].to_pylist() for one in history}
stored = {path.name for path in folder.rows.glob("*.parquet")}
named = {name for one in registry().fragments("p") for name in one.files}
print(json.dumps({
    "n_written": len(written),
    "n_kept": len(kept),
    "n_quarantined": len(bad),
    "written": digest([one for one in written if one[1] <= 900]),
    "kept": digest(kept),
    "bad": digest([one for one in written if one[1] > 900]),
    "quarantined": digest([(one["id"], one["value"], one["y"]) for one in bad]),
    "n_versions": len(history),
    "n_fragments": len(version.fragments),
    "n_pieces": sum(one.n_pieces for one in version.fragments),
    "all_once": all(len(ids) == len(set(ids)) == one.n_rows for one in history for ids in [whole[one.id]]),
    "growing": all(set(whole[old.id]) <= set(whole[new.id]) for new, old in zip(history, history[1:])),
    "n_orphans": len(stored - named),
    "elapsed_s": elapsed_s,
}))
"""


def killed(place: Path, n_kills: int, longest_s: float, seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(place), str(n_kills), str(longest_s), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "POLARS_MAX_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)  # noqa: T201 - the numbers of the slow run are what it is for
    return found


def check(found: dict[str, Any]) -> None:
    assert (found["kept"], found["quarantined"]) == (found["written"], found["bad"])
    assert found["n_kept"] + found["n_quarantined"] == found["n_written"]
    assert found["all_once"] and found["growing"]


def test_no_row_is_lost_and_none_is_there_twice(tmp_path: Path) -> None:
    found = killed(tmp_path, 10, 0.2, seed=7)
    check(found)
    assert found["n_versions"] >= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_kills(tmp_path: Path) -> None:
    found = killed(tmp_path, 1_000, 0.4, seed=1)
    check(found)
    assert found["n_fragments"] < 300 and found["n_versions"] >= 500
