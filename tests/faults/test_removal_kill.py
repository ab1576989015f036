"""kill -9 of a removal of model versions: called removed or not, and nothing half there after the next gc."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import raypipe
from raypipe.testing.serving import register_tiny_version

DRIVER = """
import os
import signal
import sys

import raypipe
from raypipe.api import models
from raypipe.registry import marks, retention, store

config, dies_at = sys.argv[1], int(sys.argv[2])
told = []

def step(what):
    told.append(what)
    if len(told) > dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

def also(function, what):
    def called(*arguments, **named):
        found = function(*arguments, **named)
        step(what)
        return found
    return called

marks.remove = also(marks.remove, "called removed, not yet committed")
store.Registry.remove_models = also(store.Registry.remove_models, "called removed")
models.delete = lambda folder, places: retention.delete(folder, places, step)
raypipe.load(config).models.collect_garbage()
print(len(told))
"""


def project(place: Path) -> Path:
    place.mkdir()
    config = place / "raypipe.yaml"
    config.write_text(
        "name: tiny\nhome: home\ndata:\n"
        "  sources: [{name: files, format: csv, path: rows/*.csv}]\n  label: outcome\n"
        "registry: {retention: {keep_last: 1}}\n"
    )
    pipeline = raypipe.load(config)
    pipeline.config.root.prepare()
    for _ in range(3):
        register_tiny_version(pipeline.registry, pipeline.config.folder)
    return config


@pytest.mark.parametrize(
    "dies_at", [2, *(pytest.param(at, marks=pytest.mark.slow) for at in (0, 1, 3, 4, 5))]
)
def test_a_removal_that_was_killed_is_finished_by_the_next(tmp_path: Path, dies_at: int) -> None:
    config = project(tmp_path / "p")
    command = [sys.executable, "-c", DRIVER, str(config), str(dies_at)]
    died = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, (died.stdout, died.stderr)
    models = raypipe.load(config).models
    folder = models.config.folder
    removed = [one.version for one in models.versions() if one.removed_at is not None]
    assert removed == ([] if dies_at == 0 else ["v2", "v1"])
    whole = {path.name for path in folder.models.iterdir() if not path.name.startswith(".")}
    assert "v3" in whole
    for version in whole:
        assert (folder.model(version) / "MANIFEST.json").exists(), "what has its name is whole"
    done = models.collect_garbage()
    assert done.removed == (("v2", "v1") if dies_at == 0 else ())
    assert [path.name for path in folder.models.iterdir()] == ["v3"]
    assert register_tiny_version(models.registry, folder).version == "v4"
