"""kill -9 of an erasure: the next ingest finishes it, with registry, log and tables as they are on a disk."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import raypipe
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.committer import read_predictions
from raypipe.data.wal import WalWriter
from raypipe.testing import FakeClock

MARK = "anna-1f3c@example.org"
DRIVER = """
import os
import signal
import sys

import raypipe
from raypipe.data.erasure.erase import erase
from raypipe.data.erasure.people import key_of

place, key, dies_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = raypipe.load(place).data
told = []

def step(what):
    told.append(what)
    if len(told) > dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

erase(data.config.folder, data._versions, [key_of(key)], reason="asked to", secret="s" * 64,
      inspect=data._inspected, clock=data.clock, on_step=step)
print(len(told))
"""


def project(place: Path) -> Path:
    """Return the config of a pipeline with two data versions and two captured answers, some of them hers."""
    rows = place / "rows"
    rows.mkdir(parents=True)
    (rows / "a.csv").write_text(f"mail,x,y\n{MARK},1,0\nbob@example.org,2,1\n{MARK},900,1\n")
    config = place / "raypipe.yaml"
    config.write_text(
        "name: people\nhome: home\ndata:\n"
        "  sources: [{name: files, format: csv, path: rows/*.csv}]\n  label: y\n"
        "  contract: {max_bad_ratio: 1, columns: {x: {max: 100}}}\n"
    )
    pipeline = raypipe.load(config)
    pipeline.ingest()
    (rows / "b.csv").write_text(f"mail,x,y\ncyd@example.org,4,1\n{MARK},5,0\n")
    pipeline.ingest()
    clock = FakeClock()
    writer = WalWriter(pipeline.config.folder.wal, "r1", clock)
    writer.open()
    for id, mail in (("p1", MARK), ("p2", "bob@example.org")):
        writer.append(encode(PredictionRecord(id, clock.now(), "v1", "champion", f'{{"mail": "{mail}"}}', 1)))
    writer.close()
    return config


def killed(config: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, str(config), f"mail={MARK}", str(at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def n_steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    whole = killed(project(tmp_path_factory.mktemp("whole")), 1000)
    assert whole.returncode == 0, whole.stderr
    return int(whole.stdout)


@pytest.mark.parametrize("share", [0.5, *(pytest.param(n / 25, marks=pytest.mark.slow) for n in range(25))])
def test_an_erasure_that_was_killed_is_finished_by_the_next_ingest(
    tmp_path: Path, n_steps: int, share: float
) -> None:
    config = project(tmp_path / "killed")
    died = killed(config, int(n_steps * share))
    assert died.returncode == -signal.SIGKILL, died.stderr
    pipeline = raypipe.load(config)
    before = [one.id for one in pipeline.data.versions()]
    assert pipeline.ingest().id == before[0]
    second, first = pipeline.data.versions()
    assert [[mark.n_rows for mark in one.erased] for one in (first, second)] == [[1], [2]]
    assert pipeline.data.rows(first.id)["mail"].to_pylist() == ["bob@example.org"]
    assert pipeline.data.rows(second.id)["mail"].to_pylist() == ["bob@example.org", "cyd@example.org"]
    assert read_predictions(pipeline.config.folder)["id"].to_pylist() == ["p2"]
    assert not pipeline.config.folder.erasing.exists()
    erased = [one for one in pipeline.registry.history("people") if one.kind == "data_erased"]
    assert len(erased) == 1
