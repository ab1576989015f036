"""Several processes, and processes that die: no number twice, no half version, no lost promotion."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from raypipe.core.clock import SystemClock
from raypipe.registry.manifest import ManifestDraft, verify
from raypipe.registry.store import Registry
from raypipe.serving.pointer import read_pointer

PREAMBLE = """
import os, signal, sys
from pathlib import Path
from raypipe.core.clock import SystemClock
from raypipe.core.errors import StaleEpoch
from raypipe.core.files import LOCAL_DISK
from raypipe.registry import models as model_rows
from raypipe.registry.manifest import ManifestDraft, digest_files
from raypipe.registry.store import Registry

home, name = Path(sys.argv[1]), sys.argv[2]
registry = Registry(f"sqlite:///{home / 'raypipe.db'}", SystemClock())

def stage(i):
    folder = home / "staging" / f"{name}-{i}"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(f"{name} {i}")
    return folder

def draft(i):
    return ManifestDraft("p", "d-1", f"{name}-{i}", None, "linear", "json", {}, None, {})

print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def registry_of(home: Path) -> Registry:
    return Registry(f"sqlite:///{home / 'raypipe.db'}", SystemClock())


def start(code: str, home: Path, name: str) -> subprocess.Popen[str]:
    """Start a process that waits, when it is ready, for a line on its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), str(home), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def together(code: str, home: Path, names: str) -> list[str]:
    """Run `code` in one process for each name, all let go at once; return what each printed."""
    return released([start(code, home, name) for name in names])


def released(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let all go at once, and return what each printed."""
    for process in processes:
        go(process)
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), answers
    return [output for output, _ in answers]


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_processes_never_get_one_number(home: Path) -> None:
    code = """
    for i in range(8):
        print(registry.register("p", stage(i), home / "models", draft(i)).version)
    """
    answers = [answer.split() for answer in together(code, home, "ab")]
    assert sorted(answers[0] + answers[1]) == sorted(f"v{i}" for i in range(1, 17))
    for version in registry_of(home).model_versions("p"):
        verify(home / "models" / version.version, version.manifest_sha256)
        content = (home / "models" / version.version / "model.json").read_text()
        assert content.replace(" ", "-") == version.run


def test_four_processes_never_get_one_epoch(home: Path) -> None:
    code = """
    for _ in range(20):
        print(registry.next_epoch("p"))
    """
    answers = [[int(line) for line in answer.split()] for answer in together(code, home, "abcd")]
    assert sorted(epoch for answer in answers for epoch in answer) == list(range(1, 81))
    assert all(answer == sorted(answer) for answer in answers)


def test_of_two_promotions_one_wins_and_the_other_is_told(home: Path, tmp_path: Path) -> None:
    registry = registry_of(home)
    for name in ("v1", "a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        registry.register(
            "p", folder, home / "models", ManifestDraft("p", "", "", None, "", "", {}, None, {})
        )
    registry.set_alias("p", "champion", "v1")
    code = """
    version = {"a": "v2", "b": "v3"}[name]
    try:
        print("won", registry.set_alias("p", "champion", version, expected="v1").version)
    except StaleEpoch as error:
        print("told", error)
    """
    answers = sorted(together(code, home, "ab"))
    assert answers[0].startswith("told the alias champion of p must still name v1. Got v")
    assert answers[1] == f"won {registry.alias('p', 'champion')}\n"
    assert [change.previous for change in registry.alias_history("p", "champion")] == ["v1", None]


def test_a_registration_killed_between_folder_and_row_leaves_no_half_version(home: Path) -> None:
    code = """
    folder = stage(0)
    entry = model_rows.Registration(
        folder, home / "models", draft(0), digest_files(folder), lambda: os.kill(os.getpid(), signal.SIGKILL)
    )
    with registry._write() as session:
        model_rows.register(session, entry, SystemClock().now(), LOCAL_DISK)
    """
    registry = registry_of(home)
    registry.append("p", "noted", "x", None)
    process = start(code, home, "a")
    process.communicate("\n", timeout=60)
    assert process.returncode == -9
    assert (home / "models" / "v1" / "model.json").read_text() == "a 0"
    assert registry.model_versions("p") == ()

    answer = together('print(registry.register("p", stage(0), home / "models", draft(0)).version)', home, "b")
    assert answer == ["v1\n"]
    version = registry.model_version("p", "v1")
    verify(home / "models" / "v1", version.manifest_sha256)
    assert (home / "models" / "v1" / "model.json").read_text() == "b 0"
    assert (home / "models" / "orphan-v1-1" / "model.json").read_text() == "a 0"


@pytest.mark.parametrize("n_lines", [1, 3, 5])
def test_a_process_killed_at_any_moment_leaves_whole_versions_only(home: Path, n_lines: int) -> None:
    code = """
    for i in range(1000):
        print(registry.register("p", stage(i), home / "models", draft(i)).version, flush=True)
    """
    process = start(code, home, "a")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    told = [process.stdout.readline().strip() for _ in range(n_lines)]
    process.kill()
    process.communicate()
    versions = registry_of(home).model_versions("p")
    assert told == [f"v{i}" for i in range(1, n_lines + 1)]
    assert len(versions) >= n_lines, "what was told is kept"
    for version in versions:
        verify(home / "models" / version.version, version.manifest_sha256)
    folders = {folder.name for folder in (home / "models").iterdir()}
    assert len(folders) - len(versions) in (0, 1)


ROOMS = """
from raypipe.api.models import PipelineModels
from raypipe.config.load import parse_config
from raypipe.core.errors import RegistryError
from raypipe.serving.releases import Releases

source = {"name": "files", "format": "csv", "path": "rows.csv"}
config = parse_config({"name": "p", "home": str(home), "data": {"sources": [source], "label": "y"}}, home)
releases = Releases(registry, config.folder)
print("imported", flush=True)
sys.stdin.readline()
"""


def in_step(code: str, home: Path, names: str) -> list[list[str]]:
    """Do as `together`, but let all go only once each has imported what it needs."""
    processes = [start(textwrap.dedent(ROOMS) + textwrap.dedent(code), home, name) for name in names]
    for process in processes:
        go(process)
        assert process.stdout is not None and process.stdout.readline() == "imported\n"
    return [output.splitlines() for output in released(processes)]


def registered(home: Path, n_versions: int) -> Registry:
    registry = registry_of(home)
    for number in range(1, n_versions + 1):
        staged = home / "staged"
        staged.mkdir(parents=True)
        (staged / "model.json").write_text(str(number))
        draft = ManifestDraft("p", "", f"r-{number}", None, "", "", {}, None, {})
        registry.register("p", staged, home / "p" / "models", draft)
    return registry


def test_of_two_releases_the_one_that_is_told_moves_neither_alias_nor_pointer(home: Path) -> None:
    registry = registered(home, 3)
    code = """
    version = {"a": "v2", "b": "v3"}[name]
    try:
        print("won", releases.promote(version, expected=None, reason="").pointer.version)
    except StaleEpoch as error:
        print("told", error)
    """
    (first,), (second,) = sorted(in_step(code, home, "ab"))
    champion = registry.alias("p", "champion")
    pointer = read_pointer(home / "p" / "pointer.json")
    assert first.startswith("told the alias champion of p must still name nothing. Got v")
    assert second == f"won {champion}"
    assert pointer is not None and (pointer.version, pointer.epoch) == (champion, registry.epoch("p"))


def test_what_is_promoted_while_another_process_removes_it_is_one_or_the_other(home: Path) -> None:
    registry = registered(home, 12)
    code = """
    for version in [f"v{number}" for number in range(1, 13)]:
        try:
            if name == "a":
                PipelineModels(config, registry, SystemClock()).remove(version, no_way_back=True)
            else:
                releases.promote(version, expected=registry.alias("p", "champion"), reason="")
            print(version)
        except RegistryError as error:
            print("told", error)
    """
    removed, promoted = in_step(code, home, "ab")
    assert len(removed) == len(promoted) == 12
    champion = registry.alias("p", "champion")
    there = {version.version: version for version in registry.model_versions("p")}
    assert champion is None or champion in there
    assert {path.name for path in (home / "p" / "models").iterdir()} == set(there)
    for version in there.values():
        verify(home / "p" / "models" / version.version, version.manifest_sha256)
    gone = {version.version for version in registry.model_versions("p", removed=True)} - set(there)
    assert gone == {line for line in removed if not line.startswith("told")}
    assert [change.version for change in reversed(registry.alias_history("p", "champion"))] == [
        line for line in promoted if not line.startswith("told")
    ]
