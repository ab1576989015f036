"""What a job is told to do, what cannot go along, and how its end is told."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError
from raypipe.runtime.submit import Ended, Submission, failure, last_line, require_portable

CONFIG = """
name: credit
home: {home}
data:
  sources: [{{name: files, format: csv, path: "{path}"}}]
  label: group
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "project" / "my pipeline.yaml"


def write(config: Path, *, home: str = "~/.raypipe", path: str = "rows/*.csv") -> Path:
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG.format(home=home, path=path))
    return config


def test_the_job_runs_the_same_file_on_its_own_cluster(config: Path) -> None:
    job = Submission("id", write(config), "credit")
    assert job.entrypoint == "raypipe run 'my pipeline.yaml' --address \"$RAY_ADDRESS\""


def test_the_job_serves_where_that_is_asked_for(config: Path) -> None:
    job = Submission("id", write(config), "credit", "up", force=True)
    assert job.entrypoint == "raypipe up 'my pipeline.yaml' --address \"$RAY_ADDRESS\" --force"


def test_the_dashboard_shows_what_it_is(config: Path) -> None:
    assert Submission("id", write(config), "credit").metadata == {
        "raypipe_pipeline": "credit",
        "raypipe_config": "my pipeline.yaml",
        "raypipe_command": "run",
        "raypipe_version": version("raypipe"),
    }


@pytest.mark.parametrize("path", ["rows/*.csv", "./rows", "a/../rows", "/mnt/rows", "s3://bucket/rows"])
@pytest.mark.parametrize("home", ["~/.raypipe", "/mnt/raypipe"])
def test_what_goes_along_or_is_there(config: Path, path: str, home: str) -> None:
    assert require_portable(write(config, path=path, home=home), {}).name == "credit"


@pytest.mark.parametrize("path", ["../rows/*.csv", "rows/../../rows"])
def test_rows_outside_the_folder_stay_behind(config: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"the path of source files must lie in the config's folder.*Got '"):
        require_portable(write(config, path=path), {})


@pytest.mark.parametrize(
    ("url", "goes"), [("rows.db", True), ("/mnt/rows.db", True), ("../rows.db", False), (":memory:", True)]
)
def test_a_database_file_goes_along_or_is_refused_as_files_are(config: Path, url: str, goes: bool) -> None:
    config.parent.mkdir(exist_ok=True)
    source = f"{{name: files, format: sql, url: 'sqlite:///{url}', table: t}}"
    config.write_text(f"name: credit\nhome: /mnt/home\ndata: {{sources: [{source}], label: y}}\n")
    if goes:
        assert require_portable(config, {}).name == "credit"
    else:
        with pytest.raises(ConfigError, match=r"the path of source files must lie in .*Got '\.\./rows\.db'"):
            require_portable(config, {})


def test_a_home_in_the_working_directory_would_be_lost(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"home must be an absolute path or begin with ~.*Got 'home'"):
        require_portable(write(config, home="home"), {})


def test_variables_are_those_of_the_job(config: Path) -> None:
    write(config, path="${ROWS}/*.csv")
    assert require_portable(config, {"ROWS": "/mnt"}).data.sources[0].path == "/mnt/*.csv"


def test_the_last_line_that_says_something() -> None:
    assert last_line("first\n  second \n\n") == "second"
    assert last_line("\n") == last_line("") == ""


@pytest.mark.parametrize(
    ("status", "line", "said"),
    [
        (
            "FAILED",
            "raypipe: no file matches x.",
            "the job j failed; the last line of its log: raypipe: no file matches x.",
        ),
        ("FAILED", "", "the job j failed; the last line of its log: it has none"),
        ("STOPPED", "whatever", "the job j was stopped."),
    ],
)
def test_how_a_failure_is_told(status: str, line: str, said: str) -> None:
    ended = Ended("j", status, line)
    assert not ended.ok
    assert failure(ended) == said


@pytest.mark.parametrize("line", ["/bin/sh: 1: raypipe: not found", "bash: raypipe: command not found"])
def test_a_cluster_without_raypipe(line: str) -> None:
    assert "there is no `raypipe` on the cluster's PATH; install raypipe" in failure(
        Ended("j", "FAILED", line)
    )
