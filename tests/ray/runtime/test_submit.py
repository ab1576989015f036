"""The same config, run by another cluster through its dashboard, and each way in which that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from raypipe.config.settings import ClusterSettings
from raypipe.core.clock import SystemClock
from raypipe.core.home import Home
from raypipe.data.synthetic import write_quickstart
from raypipe.registry.store import Registry
from raypipe.runtime import daemon
from raypipe.runtime.state import Cluster

CONFIG = """
name: small
home: {home}
data:
  sources: [{{name: applications, format: parquet, path: "data/*.parquet"}}]
  label: {label}
  time: applied_at
training: {{metric: auc, families: [linear], budget: {{trials: 2, minutes: 1}}}}
"""
FOREIGN = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True)
class Project:
    """A folder to submit, and a cluster to submit it to."""

    cluster: Cluster
    folder: Path
    home: Path

    def config(self, label: str = "group") -> Path:
        path = self.folder / f"{label}.yaml"
        path.write_text(CONFIG.format(home=self.home, label=label))
        return path

    def submit(
        self, config: Path, *options: str, address: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        variables = environment or {"RAY_AUTH_TOKEN_PATH": self.cluster.token_file}
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "from raypipe.cli.main import main; main()",
                "submit",
                str(config),
                f"--address={address or self.cluster.dashboard_url}",
                *options,
            ],
            env={**inherited, "HOME": str(self.folder), **variables},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def ask(self, path: str) -> Any:
        headers = {"authorization": f"Bearer {self.cluster.token()}"}
        with urlopen(Request(f"{self.cluster.dashboard_url}{path}", headers=headers), timeout=10) as reply:
            return json.load(reply)


@pytest.fixture(scope="module")
def project(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    write_quickstart(folder / "data", n_rows=600, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        # The commands of this environment, for a cluster whose user has not activated it.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        home = new_home()
        cluster = daemon.start(home, ClusterSettings(cpus=2, object_store_bytes=100_000_000))
    return Project(cluster, folder, home.root)


def test_it_runs_there_and_the_log_comes_back(project: Project) -> None:
    done = project.submit(project.config(), "--id=first")
    assert done.returncode == 0, done.stderr
    assert "linear" in done.stdout and "baseline" in done.stdout, "the leaderboard is in the log"
    assert done.stdout.endswith("first succeeded\n")
    registry = Registry(Home(project.home).registry_url, SystemClock())
    assert [found.version for found in registry.model_versions("small")] == ["v1"]


def test_the_dashboard_shows_it(project: Project) -> None:
    job = project.ask("/api/jobs/first")
    assert job["entrypoint"] == 'raypipe run group.yaml --address "$RAY_ADDRESS"'
    assert job["metadata"]["raypipe_pipeline"] == "small"
    assert job["metadata"]["raypipe_config"] == "group.yaml"


def test_an_id_is_given_once(project: Project) -> None:
    done = project.submit(project.config(), "--id=first")
    assert done.returncode == 1
    assert "first already exists" in done.stderr
    assert len(done.stderr.splitlines()[-1]) < 300, "one sentence, no stack trace"


def test_a_job_that_fails_says_why(project: Project) -> None:
    done = project.submit(project.config(label="absent"), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "FAILED"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("raypipe: the job raypipe-small-")
    assert "failed; the last line of its log: raypipe: " in last
    assert "absent" in last


def test_without_waiting(project: Project) -> None:
    done = project.submit(project.config(label="absent"), "--no-wait", "--json", "--id=left")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "SUBMITTED"
    assert project.ask("/api/jobs/left")["submission_id"] == "left"


def test_a_wrong_token(project: Project) -> None:
    done = project.submit(project.config(), RAY_AUTH_TOKEN="0" * 64)
    assert done.returncode == 1
    assert "refuses our token; put the cluster's token into ~/.ray/auth_token" in done.stderr


def test_no_token(project: Project) -> None:
    done = project.submit(project.config(), RAY_AUTH_MODE="disabled")
    assert done.returncode == 1
    assert "asks for a token and there is none" in done.stderr


def test_the_address_that_nodes_join_is_no_dashboard(project: Project) -> None:
    done = project.submit(project.config(), address=project.cluster.address)
    assert done.returncode == 1
    assert "is no Ray dashboard; correct --address" in done.stderr


def test_a_folder_that_is_too_large_is_not_sent(project: Project) -> None:
    large = project.folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(101 * 2**20)
    done = project.submit(project.config())
    assert done.returncode == 2
    assert "most of it in large.bin (101.0 MiB)" in done.stderr
    done = project.submit(project.config(label="absent"), "--exclude=*.bin", "--no-wait")
    assert done.returncode == 0, done.stderr
    large.unlink()
