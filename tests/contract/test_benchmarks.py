"""The benchmarks run, small; what they measure is for their own output."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from types import ModuleType

import numpy as np
import pytest

from raypipe.config.load import load_config
from raypipe.control.events import (
    Evidence,
    Fact,
    GateJudged,
    Promoted,
    RetrainDecided,
    RetrainFailed,
    RetrainRequested,
    RetrainSubmitted,
)
from raypipe.control.ledger import record
from raypipe.core.clock import SystemClock
from raypipe.data.blocks import StoredRows
from raypipe.pipeline import Loop, no_compute
from raypipe.registry.store import Registry

FOLDER = Path(__file__).parents[2] / "benchmarks"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


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


def test_looks_give_the_same_both_ways() -> None:
    result = load("looks").measure(n_rows=1_500, n_looks=1)
    assert result.fold_s > 0 and result.whole_s > 0
    assert result.fold_bytes > 0


def test_row_predict_measures_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent)
    found = importlib.import_module("benchmarks.row_predict").measure(n_rows=300, n_calls=20, n_trees=3)
    assert found.both_us > 0 and found.model_us > 0


def test_a_few_commits_of_a_day_lose_nothing(tmp_path: Path) -> None:
    commits = load("commits")
    (end,) = commits.day(tmp_path, 6, 0.0)
    assert end == "\n300 answers and 30 labels, each once and in order\n"


def test_rows_of_the_memory_benchmark_are_what_its_config_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent)
    run_memory = importlib.import_module("benchmarks.run_memory")
    run_memory.write_config(tmp_path, 2_000, ["linear"], 1.0, {"in_memory_cells": 0})
    config = load_config(tmp_path / "raypipe.yaml")
    config.root.prepare()
    loop = Loop(config, Registry(config.root.registry_url, SystemClock()), SystemClock(), no_compute)
    prepared = loop.prepare(loop.collect())
    assert isinstance(prepared.split.train, StoredRows) and prepared.split.train.num_rows == 1_200
    assert len(prepared.transform.inputs) == 10


def test_column_profile_measures_both() -> None:
    result = load("column_profile").measure(n_rows=300, n_times=1)
    assert result.raypipe_s > 0 and result.polars_s > 0
    assert result.ratio == result.raypipe_s / result.polars_s


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the package, once it can be imported."""
    monkeypatch.syspath_prepend(FOLDER.parent)
    return "benchmarks.faults"


def part(faults: str, name: str) -> ModuleType:
    return importlib.import_module(f"{faults}.{name}")


@pytest.fixture
def moody_url() -> Iterator[str]:
    """Yield where an endpoint answers, which refuses each fifth request and hangs up on each seventh."""
    numbers = count(1)

    class Moody(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            number = next(numbers)
            if number % 7 == 0:
                self.close_connection = True
                return
            body = json.dumps({"version": "v1", "predictions": [{"id": f"r-{number}"}]}).encode()
            self.send_response(429 if number % 5 == 0 else 200)
            if number % 10 == 0:
                self.send_header("Retry-After", "1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/moody"
        server.shutdown()
        thread.join()


def test_the_faults_load_counts_what_was_not_answered(faults: str, moody_url: str) -> None:
    asking = part(faults, "load").Load(moody_url, {"age": 41})
    asking.start()
    while len(asking.ids) < 100:
        time.sleep(0.01)
    asking.stop()
    assert len(asking.ids) == len(set(asking.ids)) == len(asking.times) >= 100
    assert asking.failures["429"] > 0 and asking.failures["RemoteDisconnected"] > 0
    assert asking.n_sent == len(asking.ids) + asking.failures.total()


def test_an_outage_ends_when_four_fifths_of_the_answers_are_back(faults: str) -> None:
    found = part(faults, "load")
    before = [i / 100 for i in range(500)]
    slow = [7 + i / 50 for i in range(100)]
    after = [9 + i / 100 for i in range(300)]
    times = [*before, *slow, *after]
    assert found.level_before(times, 5.0) == 100
    assert found.longest_gap_s(times) == pytest.approx(2.01)
    back = found.normal_at(times, killed_at=5.0, works_at=7.5)
    assert back == pytest.approx(9.6, abs=0.03), "half of the old second, and 60 of the new one, are 80"
    assert found.normal_at(times, killed_at=5.0, works_at=10.5) == 10.5, "it must be at work again, too"
    assert found.normal_at([*before, *slow], killed_at=5.0, works_at=7.5) is None


def test_the_books_name_answers_that_are_not_in_the_log_once(faults: str) -> None:
    audit = part(faults, "audit")
    before = Counter(["old"])
    after = Counter(["old", "a", "b", "b", "unheard", "curl"])
    found = audit.compare_log(before, after, ["a", "b", "lost"], n_others=1)
    assert (found.not_once, found.unheard) == (2, 2), "b is there twice, lost is not, and one b is over"


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the package, once it can be imported."""
    monkeypatch.syspath_prepend(FOLDER.parent)
    return "benchmarks.serving"


def test_serving_asks_by_wrk_and_counts(serving: str, moody_url: str, tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: apt-get install wrk")
    load = part(serving, "load")
    bodies = part(serving, "model").write_bodies(tmp_path / "bodies", '{"rows": OBJECTS}', 1, 5)
    found = load.ask(moody_url, bodies, 2, 1)
    assert found.requests > found.failed > 0, "it refuses each fifth and hangs up on each seventh"
    assert 0 < found.p50_us <= found.p99_us <= found.max_us


def test_asking_notes_each_answer_and_waits_where_it_is_told_to(serving: str, moody_url: str) -> None:
    asking = part(serving, "asking").Asking(moody_url, b"{}", 4, patient=True)
    asking.start()
    while len(asking.answers) < 60:
        time.sleep(0.01)
    asking.stop()
    answers = list(asking.answers)
    assert {(one.status, one.version) for one in answers} == {(200, "v1"), (429, "v1"), (0, "")}
    assert {one.again_in_s for one in answers if one.status == 429} == {1, None}
    assert all(one.sent < one.answered for one in answers)
    assert sum(one.again_in_s is not None for one in answers) > 4
    assert answers[-1].answered - answers[0].answered > 1.0, "one of the four was told so twice"


def test_swaps_and_overload_tell_what_was_asked(serving: str) -> None:
    asked = part(serving, "asking").Asked
    peer = [asked(at / 10, at / 10 + 0.01, 200, "v2") for at in range(1, 100)]
    late = [asked(20.2, 20.3, 200, "v2"), asked(20.1, 20.2, 0, ""), asked(20.3, 20.4, 200, "v3")]
    swaps = importlib.import_module("benchmarks.swaps.__main__")
    told = swaps.line(1, [swaps.Swap(20.0, "v3", peer, late)], 100.0, 101.0)
    assert told == "| 1 | 1 | 3 | 1 | 30 | 100.0 | 10.0 | 100 | 10 | 100 | 10 | 0.20 | 0.20 | 100 | 101 |\n"
    refused = [asked(1.0, 1.1, 429, "", 1), asked(1.0, 1.1, 429, "")]
    line = importlib.import_module("benchmarks.overload").line(320, [*peer, *refused], 10.0, patient=True)
    assert line == "| 320 | wait | 99 | 1 | 1 | 10 | 10.0 | 10.0 | 10 |\n"


def test_what_capture_costs_is_told_by_pairs_of_turns(serving: str) -> None:
    count, capture = part(serving, "load").Count, importlib.import_module("benchmarks.capture")

    def turn(n: int, p50_us: int, failed: int, **spent_s: float) -> object:
        return capture.Turn(count(n, 10.0, p50_us, 2_000, 9_000, failed), Counter(spent_s))

    captured = [turn(n, 900, 0, replica=0.2, committer=0.1) for n in (9_500, 9_700)]
    peers = [turn(n, 800, 1, replica=0.2) for n in (10_000, 10_100)]
    told = list(capture.table(list(zip(captured, peers, strict=True))))
    assert told[1:3] == [
        "| capture and monitoring on | 960 | 0.90 | 2.00 | 0 |\n",
        "| capture off | 1,005 | 0.80 | 2.00 | 2 |\n",
    ]
    assert told[3] == "\ncost: 4.5% [-2.4%, 10.9%] of the answers a second, 2 pairs of turns\n"
    assert "| committer | 10.4 | 0.0 | 10.4 |\n" in told
    assert told[-1] == "| all | 31.2 | 19.9 | 11.3, 36.3% |\n"
    before = capture.spent_s()
    assert any(name == capture.OTHERS for _, name in before)
    assert all(spent >= before.get(process, 0.0) for process, spent in capture.spent_s().items())


def test_serving_takes_medians_and_tells_ratios(serving: str) -> None:
    load, command = part(serving, "load"), part(serving, "__main__")
    line = 'x\n{"requests": 40, "seconds": 2.0, "p50_us": 5, "p99_us": 9, "max_us": 11, "failed": 4}\n'
    one = load.read_count(line)
    assert one.rate == 18
    middle = load.median([one, one, replace(one, requests=400, p99_us=99, max_us=70)])
    assert (middle.requests, middle.p99_us, middle.max_us, middle.failed) == (40, 9, 70, 12)
    server = part(serving, "servers").Server("peer", "http://x", "", "peer 1.0")
    ours = dict.fromkeys([load.name for load in command.LOADS], replace(one, requests=76))
    told = list(command.lines(server, dict.fromkeys(ours, one), ours))
    assert told[2] == "| peer | many rows | 18 | 18,000 | 0.01 | 0.01 | 4 | 2.0 times | peer 1.0 |\n"


def test_serving_fills_rows_into_the_body_of_each_peer(serving: str) -> None:
    model = part(serving, "model")
    by_name = json.loads(model.body('{"rows": OBJECTS}', 2))
    by_place = json.loads(model.body('{"shape": [COUNT, 20], "data": LISTS}', 2))
    assert [list(row.values()) for row in by_name["rows"]] == by_place["data"]
    assert by_place["shape"] == [2, len(model.COLUMNS)]
    for peer in part(serving, "servers").PEERS:
        assert json.loads(model.body(peer.template, 1)) and peer.version


def test_the_model_of_the_serving_benchmark_learns(serving: str) -> None:
    model = part(serving, "model")
    rows = model.training_rows()
    x = np.column_stack([rows[name].to_numpy() for name in model.COLUMNS]).astype(np.float32)
    found = model.trained(rows, n_trees=5).predict(x)[:, 1]
    assert ((found > 0.5) == rows["label"].to_numpy()).mean() > 0.7


ONE = "p-retrain-1"
ASKED = (RetrainRequested(NOW, "ann"), RetrainDecided(NOW, ONE, "hand", Evidence(), "v1"))
WHOLE: tuple[Fact, ...] = (
    *ASKED,
    RetrainSubmitted(NOW, ONE),
    GateJudged(NOW, ONE, "v2", "v1", "pass", 200),
    Promoted(NOW, ONE, "v2", 3),
)


@pytest.mark.parametrize(
    ("facts", "versions", "releases", "doubled", "lost"),
    [
        (WHOLE, 1, 1, 0, 0),
        ((*ASKED, RetrainSubmitted(NOW, ONE), RetrainFailed(NOW, ONE, "killed")), 0, 0, 0, 0),
        ((*WHOLE[:3], GateJudged(NOW, ONE, "v2", "v1", "fail", 200)), 1, 0, 0, 0),
        (WHOLE, 2, 1, 1, 0),
        (WHOLE, 1, 2, 1, 0),
        ((*WHOLE, RetrainSubmitted(NOW, ONE)), 1, 1, 1, 0),
        ((*WHOLE, RetrainFailed(NOW, ONE, "killed")), 1, 1, 1, 0),
        (WHOLE[:4], 1, 0, 0, 1),
        ((*ASKED, RetrainFailed(NOW, ONE, "no job")), 0, 0, 0, 1),
        ((ASKED[0],), 0, 0, 0, 1),
    ],
)
def test_the_books_name_decisions_doubled_and_lost(
    faults: str, facts: tuple[Fact, ...], versions: int, releases: int, doubled: int, lost: int
) -> None:
    found = part(faults, "audit").check_decisions(facts, {ONE: versions}, {"v2": releases})
    assert (found.doubled, found.lost) == (doubled, lost)


def test_the_sniper_strikes_at_an_entry_of_the_ledger(faults: str, tmp_path: Path) -> None:
    database = tmp_path / "r.db"
    registry = Registry(f"sqlite:///{database}", SystemClock())
    entry = record(registry, "p", RetrainSubmitted(NOW, "earlier"))
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    kind = "event.retrain_submitted"
    sniper = part(faults, "sniper").lie_in_wait(database, "p", entry.seq, kind, 0.0, victim.pid)
    record(registry, "other", RetrainSubmitted(NOW, ONE))
    record(registry, "p", ASKED[1])
    assert victim.poll() is None
    record(registry, "p", RetrainSubmitted(NOW, ONE))
    told, _ = sniper.communicate(timeout=30)
    assert victim.wait(timeout=30) == -9
    assert float(told) > 0


def test_processing_measures_peers_that_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent)
    measured = part("benchmarks.processing", "__main__")
    found = list(measured.run(["raypipe", "polars", "sklearn"], n_rows=10_000, n_times=1))
    assert all(said.startswith("equal") for _, said in found[1:]), found
    assert all(one.first_s > 0 and one.median_s > 0 and one.peak_mb > 10 for one, _ in found)
    assert len(list(measured.ratios({one.name: one for one, _ in found}))) == 1


@pytest.mark.slow
def test_processing_over_ray_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent)
    measured = part("benchmarks.processing", "__main__")
    found = list(measured.run(["raypipe", "raypipe-ray", "ray-map", "ray-chain"], n_rows=60_000, n_times=1))
    assert found[1][1] == "equal to the bit"
    assert all(said.startswith("equal") for _, said in found[2:]), found


def test_the_contract_is_measured_and_its_rules_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(FOLDER.parent)
    measured = part("benchmarks.contract", "__main__")
    (line,) = measured.run(["raypipe"], n_rows=20_000, n_times=1, venvs=tmp_path)
    name, seconds, _, *counts = (cell.strip() for cell in line.strip(" |\n").split("|"))
    assert name == "raypipe" and float(seconds) >= 0
    assert counts == ["20"] * 5
    found = part("benchmarks.contract", "peers.keys").measure(40_000)
    assert found["n_repeated"] == 1 and found["n_found"] == 10_000
    assert found["disk_mb"] == pytest.approx(24 * 50_000 / 1e6)
