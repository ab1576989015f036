"""kill -9 of `raypipe run` in its race: the next run goes on, and no finished trial runs again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.data.synthetic import COLUMNS, AgrawalSettings, generate

RAYPIPE = (sys.executable, "-c", "from raypipe.cli.main import main; main()")
N_TRIALS, N_BEFORE_THE_KILL = 30, 3
CONFIG = f"""
name: credit
home: home
data:
  sources: [{{name: files, format: parquet, path: rows.parquet}}]
  label: group
training:
  families: [linear, xgboost]
  budget: {{trials: {N_TRIALS}, minutes: 5}}
  resources: {{max_concurrent: 1}}
serving: {{replicas: {{max: 1}}}}
cluster: {{cpus: 1, object_store_bytes: 80000000}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows: pa.Table = generate(AgrawalSettings(((3_000, 2),), seed=1)).select([*COLUMNS, "group"])
    parquet.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "raypipe.yaml").write_text(CONFIG)
    return tmp_path / "raypipe.yaml"


def killed_in_its_race(config: Path) -> Path:
    """Run until some trials have ended, kill the process, see its Ray gone, and return that Ray's folder."""
    with subprocess.Popen([*RAYPIPE, "run", str(config)], stderr=subprocess.PIPE, text=True) as process:
        seen: list[psutil.Process] = []
        try:
            while len(kept_trials(config)) < N_BEFORE_THE_KILL:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.02)
            seen = psutil.Process(process.pid).children(recursive=True)
            session = next(
                found for one in seen for found in re.findall(r"/tmp/rp-\w+", " ".join(one.cmdline()))
            )
        finally:
            process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(seen, timeout=20)
        for one in alive:
            one.kill()
    assert process.returncode == -signal.SIGKILL
    return Path(session)


def folder(config: Path) -> Path:
    return next((config.parent / "home" / "credit" / "runs").glob("r-*"))


def kept_trials(config: Path) -> dict[str, Any]:
    runs = config.parent / "home" / "credit" / "runs"
    return {path.parent.name: json.loads(path.read_text()) for path in runs.glob("r-*/trials/t*/trial.json")}


def run(config: Path) -> dict[str, Any]:
    command = [*RAYPIPE, "run", str(config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_killed_run_goes_on_and_no_finished_trial_runs_again(config: Path) -> None:
    session = killed_in_its_race(config)
    before = kept_trials(config)
    assert N_BEFORE_THE_KILL <= len(before) < N_TRIALS

    assert session.exists()
    resumed = run(config)
    assert not session.exists(), "what the dead one left is tidied"
    assert resumed["before"] == [f"race: {len(before)} of {N_TRIALS} trials were finished before"]
    assert resumed["is_new"] and resumed["version"] == "v1"
    trials = {
        one["trial_id"]: one for one in json.loads((folder(config) / "race.json").read_text())["trials"]
    }
    of_first = {id: one for id, one in trials.items() if one["attempt"] == 1}
    assert len(trials) == N_TRIALS
    assert of_first.keys() == before.keys()
    for id, one in of_first.items():
        assert one == {name: before[id][name] for name in one}, "as it was when the process died"
    assert sum(one["attempt"] == 2 for one in trials.values()) == N_TRIALS - len(before)
    tried = [json.dumps([one["family"], one["params"]]) for one in trials.values()]
    assert len(set(tried)) == N_TRIALS
    assert {path.name for path in folder(config).iterdir()} == {
        ".lock",
        "run.json",
        "race.json",
        "judge.json",
        "importance.json",
        "candidates",
    }
