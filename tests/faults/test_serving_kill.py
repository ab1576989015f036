"""kill -9 of a process that answers: whatever it acknowledged is in the log, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import PredictionRecord, decode
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.frames import read_frames
from raypipe.serving.pointer import write_pointer
from raypipe.testing.serving import write_tiny_version

SERVER = """
import json, sys
from pathlib import Path
from raypipe.core.clock import SystemClock
from raypipe.serving.config import ServingSettings
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec

spec = EndpointSpec("tiny", Path(sys.argv[1]), ServingSettings())
app = build_app(spec, sys.argv[2], SystemClock())
row = {"amount": 1, "size": 3, "colour": "red", "member": True}
body = json.dumps({"rows": [row, row, {}]}).encode()
while True:
    for item in json.loads(app._endpoint.predict(body).body)["predictions"]:
        if "prediction" in item:
            print(item["id"], flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    folder = Home(tmp_path).pipeline("tiny")
    write_pointer(folder.pointer, write_tiny_version(folder, "v1", 1))
    return folder


def answered_until_killed(home: Path, replica: str, n_answers: int) -> list[str]:
    command = [sys.executable, "-c", SERVER, str(home), replica]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ids = [process.stdout.readline().strip() for _ in range(n_answers)]
        os.kill(process.pid, signal.SIGKILL)
        # What was printed before the signal was acknowledged too; the last line may be cut.
        ids += [line.strip() for line in process.stdout if line.endswith("\n")]
    return ids


def captured(folder: PipelineHome) -> list[str]:
    segments = [path for path in folder.wal.glob("*/*") if path.suffix in (".open", ".sealed")]
    records = [decode(one) for path in segments for one in read_frames(path.read_bytes()).payloads]
    return [record.id for record in records if isinstance(record, PredictionRecord)]


def test_acknowledged_predictions_are_in_the_log_once(folder: PipelineHome, tmp_path: Path) -> None:
    ids = answered_until_killed(tmp_path, "r1", 500) + answered_until_killed(tmp_path, "r2", 20)
    found = captured(folder)
    assert len(found) == len(set(found))
    assert len(ids) >= 520
    assert set(ids) <= set(found)


def test_the_committer_moves_them_all_to_the_table(folder: PipelineHome, tmp_path: Path) -> None:
    ids = answered_until_killed(tmp_path, "r1", 50)
    commit_once(folder)
    table = read_predictions(folder)
    stored = table.column("id").to_pylist()
    assert len(stored) == len(set(stored))
    assert set(ids) <= set(stored)
    assert set(table.column("version").to_pylist()) == {"v1"}
