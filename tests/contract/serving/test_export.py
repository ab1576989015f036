"""An exported folder answers as the endpoint does, to the bit, in a process that finds no Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raypipe.api.pipeline import load
from raypipe.cli.main import app
from raypipe.config.load import load_config
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import Json
from raypipe.data.committer import commit_once
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.serving.config import CaptureSettings, ServingSettings
from raypipe.serving.edge.export import export
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.pointer import Pointer, write_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.serving import TINY_TASK, register_tiny_version, tiny_rows, trained_tiny_model
from raypipe.training.task import Task

NUMBER = Task("regression", "outcome", (), "mae")


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("tiny")


def registered(folder: PipelineHome, family: str, task: Task = TINY_TASK) -> ModelVersion:
    registry = Registry(f"sqlite:///{folder.root.parent / 'raypipe.db'}", SystemClock())
    return register_tiny_version(registry, folder, model=trained_tiny_model(family, task), task=task)


def endpoint_of(folder: PipelineHome, version: ModelVersion) -> Endpoint:
    write_pointer(folder.pointer, Pointer(version.version, version.manifest_sha256, 1))
    settings = ServingSettings(capture=CaptureSettings(enabled=False))
    return build_app(EndpointSpec("tiny", folder.root.parent, settings), "r", SystemClock()).endpoint


def asked(n_rows: int) -> list[dict[str, Json]]:
    return [{**row, "seen": row["seen"].isoformat()} for row in tiny_rows(n_rows)]  # type: ignore[union-attr]


def answers(endpoint: Endpoint, rows: list[dict[str, Json]]) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    for row in rows:
        found += json.loads(endpoint.predict(json.dumps({"rows": [row]}).encode()).body)["predictions"]
    return found


def captured(rows: list[dict[str, Json]], given: list[dict[str, Json]]) -> list[dict[str, Json]]:
    return [
        {
            "inputs": json.dumps(row),
            "prediction": one["prediction"],
            "probabilities": list(one["probabilities"].values()) if "probabilities" in one else None,  # type: ignore[union-attr]
        }
        for row, one in zip(rows, given, strict=True)
    ]


@pytest.mark.parametrize(
    ("family", "task"),
    [
        ("baseline", NUMBER),
        ("linear", TINY_TASK),
        ("xgboost", NUMBER),
        ("xgboost", TINY_TASK),
        ("torch", TINY_TASK),
    ],
)
def test_a_folder_answers_captured_rows_to_the_bit(folder: PipelineHome, family: str, task: Task) -> None:
    version = registered(folder, family, task)
    rows = asked(60)
    given = answers(endpoint_of(folder, version), rows)
    to = folder.root.parent / "edge"
    redacted: dict[str, Json] = {**captured(rows, given)[0], "inputs": '{"size": {"masked": true}}'}
    done = export(folder, version, to, answered=[*captured(rows, given), redacted])
    assert done.checked["captured"].to_json() == {
        "n_rows": 61,
        "n_exact": 60,
        "n_close": 0,
        "n_refused": 1,
        "largest_difference": 0.0,
    }
    assert (done.checked["golden"].n_rows, done.checked["golden"].n_exact) == (2, 2)
    assert {line.partition("==")[0] for line in done.requirements} == {
        "numpy",
        "msgspec",
        *{"linear": ["safetensors"], "xgboost": ["xgboost"], "torch": ["torch", "safetensors"]}.get(
            family, []
        ),
    }
    if family == "linear":
        assert scored(to, rows) == [{**one, "id": str(i)} for i, one in enumerate(given)]


def scored(to: Path, rows: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Score rows by the folder's script, with an import hook that refuses Ray and tells where raypipe is."""
    program = (
        "import runpy, sys\n"
        "class NoRay:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        assert name.partition('.')[0] != 'ray', 'Ray is imported'\n"
        "sys.meta_path.insert(0, NoRay())\n"
        "del sys.argv[0]\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n"
        "    assert 'polars' not in sys.modules and 'pyarrow' not in sys.modules\n"
        "    assert sys.modules['raypipe'].__file__.startswith(sys.path[0])\n"
    )
    command = [sys.executable, "-c", program, str(to / "score.py")]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=to.parent)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_folder_that_answers_otherwise_is_not_exported(folder: PipelineHome) -> None:
    version = registered(folder, "linear")
    rows = asked(3)
    known = captured(rows, answers(endpoint_of(folder, version), rows))
    known[1]["probabilities"] = [0.25, 0.75]
    to = folder.root.parent / "edge"
    with pytest.raises(ArtifactError, match="answers 1 of 3 captured rows otherwise than the endpoint did"):
        export(folder, version, to, answered=known)
    assert [path.name for path in to.parent.iterdir() if "edge" in path.name] == []


def test_a_file_that_changed_after_the_export_is_refused(folder: PipelineHome) -> None:
    to = folder.root.parent / "edge"
    export(folder, registered(folder, "baseline"), to)
    with pytest.raises(ConfigError, match="--to must be a new or an empty folder"):
        export(folder, registered(folder, "baseline"), to)
    check = [sys.executable, str(to / "score.py"), "--check"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    model = to / "model" / "constant.json"
    model.write_text(model.read_text().replace("0.5", "0.6"))
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "constant.json is not what was exported" in done.stderr


def test_what_the_folder_does_not_name_cannot_be_imported(
    folder: PipelineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raypipe.serving.edge.needs._BY_FORMAT", {})
    with pytest.raises(ArtifactError, match=r"does not run by itself: .*No module named 'safetensors'"):
        export(folder, registered(folder, "linear"), folder.root.parent / "edge")


def test_the_command_exports_what_answers_captured_rows_as_the_endpoint_did(
    tmp_path: Path,
) -> None:
    config = tmp_path / "raypipe.yaml"
    config.write_text(
        "name: tiny\nhome: home\n"
        "data: {sources: [{name: a, format: csv, path: a.csv}], label: y, drop: [colour]}\n"
        "serving: {capture: {redact: {colour: mask}}}\n"
    )
    loaded = load_config(config)
    loaded.root.prepare()
    registry = Registry(loaded.root.registry_url, SystemClock())
    version = register_tiny_version(registry, loaded.folder, model=trained_tiny_model("linear", TINY_TASK))
    write_pointer(loaded.folder.pointer, Pointer(version.version, version.manifest_sha256, 1))
    registry.set_alias("tiny", "champion", "v1", reason="the first")
    for replica, settings in (("r1", ServingSettings()), ("r2", loaded.serving)):
        endpoint = build_app(
            EndpointSpec("tiny", loaded.root.root, settings), replica, SystemClock()
        ).endpoint
        answers(endpoint, asked(30))
        endpoint.close()
        commit_once(loaded.folder)
    done = load(config).export("champion", tmp_path / "edge")
    found = done.checked["captured"]
    assert (found.n_rows, found.n_exact, found.n_refused) == (60, 30, 30)
    told = CliRunner().invoke(
        app, ["export", "v1", str(config), "--to", str(tmp_path / "b"), "--captured", "7"]
    )
    assert "7 captured rows are answered as before" in told.stdout
    assert "needs numpy==" in told.stdout
