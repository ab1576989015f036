"""kill -9 of `ingest --follow` at random moments: no row is lost, and none is there twice.

One process forks workers that follow growing sources, and kills each after a random time: a database table
by its cursor, a folder in which files arrive, a Delta table that is followed, an HTTP API by a cursor over
a field, and a topic of the Kafka broker that librdkafka has built in for tests. What is in the last version
is then compared with what the writer wrote, by count and by hash, for each source.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
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
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pyarrow as pa
from deltalake import write_deltalake
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
kinds = ["table", "files", *sys.argv[5:]]
# Ids of a source follow its place among all, in millions.
KIND = 1_000_000
ALL = ["table", "files", "delta", "http", "kafka"]
home = Home(place / "home")
home.prepare()
folder = home.pipeline("p")
rules = {"columns": {"value": {"max": 900}}, "max_bad_ratio": 1}
server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
BROKER = '''
import confluent_kafka, sys
host = confluent_kafka.Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0})
brokers = host.list_topics(timeout=10).brokers.values()
print(",".join(f"{one.host}:{one.port}" for one in brokers), flush=True)
sys.stdin.read()
'''
broker, servers = None, "127.0.0.1:1"
if "kafka" in kinds:
    broker = subprocess.Popen(
        [sys.executable, "-c", BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    servers = broker.stdout.readline().strip()
declared = {
    "table": {"format": "sql", "url": f"sqlite:///{place}/rows.db", "table": "rows", "cursor": "id",
              "batch_rows": 1000},
    "files": {"format": "parquet", "path": str(place / "rows")},
    "delta": {"format": "delta", "path": str(place / "delta"), "follow": True},
    "http": {"format": "http", "url": f"http://127.0.0.1:{server.server_port}/rows",
             "pagination": {"by": "cursor", "parameter": "after", "field": "id"}},
    "kafka": {"format": "kafka", "servers": servers, "topic": "rows", "timeout_s": 10},
}
settings = DataSettings.model_validate(
    {"sources": [{"name": kind, **declared[kind]} for kind in kinds], "label": "y", "contract": rules}
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

def rows_table(numbers):
    columns = list(zip(*(row(n) for n in numbers)))
    names = ("id", "value", "y")
    return pa.table({name: pa.array(values, pa.int64()) for name, values in zip(names, columns)})

def records(numbers):
    return [dict(zip(("id", "value", "y"), row(number))) for number in numbers]

def write_file(number, numbers):
    table = rows_table(numbers)
    arriving = place / "rows" / f".{number:06d}"
    parquet.write_table(table, arriving)
    arriving.rename(place / "rows" / f"{number:06d}.parquet")

answered = []

class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        after = int(parse_qs(urlparse(self.path).query).get("after", ["0"])[0])
        page = [one for one in answered if one["id"] > after][:500]
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

def note(kind, numbers):
    with open(place / f"{kind}.written", "a") as file:
        for number in numbers:
            print(number, file=file)

def write_delta(numbers):
    write_deltalake(str(place / "delta"), rows_table(numbers), mode="append")
    note("delta", numbers)

def write_http(numbers):
    answered.extend(records(numbers))
    note("http", numbers)

def write_kafka(producer, numbers):
    for one in records(numbers):
        producer.produce("rows", json.dumps(one).encode(), partition=0)
    assert producer.flush(10) == 0
    note("kafka", numbers)

def producer_of():
    import confluent_kafka

    return confluent_kafka.Producer({"bootstrap.servers": servers, "enable.idempotence": True})

def write(stop):
    # Each row is written once.
    server.RequestHandlerClass = Api
    threading.Thread(target=server.serve_forever, daemon=True).start()
    producer = producer_of() if "kafka" in kinds else None
    more = {"delta": write_delta, "http": write_http, "kafka": lambda numbers: write_kafka(producer, numbers)}
    ends = {kind: ALL.index(kind) * KIND + 1 for kind in kinds}
    for kind in kinds[2:]:
        more[kind](range(ends[kind], ends[kind] + 5))
        ends[kind] += 5
    (place / "begun").touch()
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
        for kind in kinds[2:]:
            if draw.random() < 0.2:
                n_rows = draw.randint(1, 30)
                more[kind](range(ends[kind], ends[kind] + n_rows))
                ends[kind] += n_rows
        time.sleep(0.02)
    # Its last rows are there to be asked for.
    (place / "ended").touch()
    threading.Event().wait()

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
while not (place / "begun").exists():
    time.sleep(0.01)
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
while not (place / "ended").exists():
    time.sleep(0.01)
version = once()
os.kill(writer, signal.SIGKILL)
os.waitpid(writer, 0)
if broker is not None:
    broker.communicate()
found = read_rows(folder, version)
written = [tuple(one) for one in sqlite3.connect(place / "rows.db").execute("SELECT id, value, y FROM rows")]
for path in sorted((place / "rows").glob("*.parquet")):
    written += [tuple(one.values()) for one in parquet.read_table(path).to_pylist()]
for path in place.glob("*.written"):
    written += [row(int(line)) for line in path.read_text().splitlines()]

def digest(rows):
    return hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()

kept = [tuple(one.values()) for one in found.to_pylist()]
bad = [json.loads(one["row"]) for one in read_quarantine(folder, version).to_pylist()]
bad = [(one["id"], one["value"], one["y"]) for one in bad]

def by_kind(rows):
    return {kind: sum(one[0] // KIND == ALL.index(kind) for one in rows) for kind in kinds}

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
    "quarantined": digest(bad),
    "written_by_source": by_kind(written),
    "found_by_source": by_kind(kept + bad),
    "n_versions": len(history),
    "n_fragments": len(version.fragments),
    "n_pieces": sum(one.n_pieces for one in version.fragments),
    "all_once": all(len(ids) == len(set(ids)) == one.n_rows for one in history for ids in [whole[one.id]]),
    "growing": all(set(whole[old.id]) <= set(whole[new.id]) for new, old in zip(history, history[1:])),
    "n_orphans": len(stored - named),
    "elapsed_s": elapsed_s,
}))
"""


def killed(place: Path, n_kills: int, longest_s: float, seed: int, *more: str) -> dict[str, Any]:
    """Kill workers that follow a table and files, and sources of the kinds in `more`."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(place), str(n_kills), str(longest_s), str(seed), *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "POLARS_MAX_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)  # noqa: T201 - the numbers of the slow run are what it is for
    return found


MORE = ("delta", "http", *(("kafka",) if find_spec("confluent_kafka") else ()))


def check(found: dict[str, Any]) -> None:
    assert (found["kept"], found["quarantined"]) == (found["written"], found["bad"])
    assert found["n_kept"] + found["n_quarantined"] == found["n_written"]
    assert found["found_by_source"] == found["written_by_source"]
    assert all(found["written_by_source"].values())
    assert found["all_once"] and found["growing"]


def test_no_row_is_lost_and_none_is_there_twice(tmp_path: Path) -> None:
    found = killed(tmp_path, 10, 0.2, 7, *MORE)
    check(found)
    assert found["n_versions"] >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("n_kills", "more"), [(500, ()), (500, MORE)], ids=["table, files", "every kind"])
def test_a_thousand_kills(tmp_path: Path, n_kills: int, more: tuple[str, ...]) -> None:
    found = killed(tmp_path, n_kills, 0.4, 1, *more)
    check(found)
    assert found["n_fragments"] < 600 and found["n_versions"] >= n_kills / 2
