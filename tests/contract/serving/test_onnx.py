"""A model as an ONNX graph says what the model says, to what float32 can hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.clock import SystemClock
from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.home import Home
from raypipe.registry.store import Registry
from raypipe.serving.edge.export import ONNX_LIMIT, export
from raypipe.serving.edge.onnx_graph import onnx_package, run_onnx, to_onnx
from raypipe.testing.serving import (
    TINY_TASK,
    register_tiny_version,
    tiny_rows,
    tiny_transform,
    trained_tiny_model,
)
from raypipe.training.families.linear import Description, LinearModel
from raypipe.training.task import Task

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
TASKS = {
    "two classes": TINY_TASK,
    "three classes": Task("classification", "outcome", (1, 2, 3), "log_loss"),
    "a number": Task("regression", "outcome", (), "mae"),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("family", ["baseline", "linear", "xgboost", "torch"])
def test_a_graph_says_what_the_model_says(family: str, task: Task) -> None:
    model = trained_tiny_model(family, task)
    features = tiny_transform().transform_rows(tiny_rows(300))
    data = to_onnx(model, task.n_classes, tiny_transform().feature_names)
    expected, found = model.predict(features), run_onnx(data, features)
    assert found.shape == expected.shape
    far = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    assert far.max() <= (1e-12 if family in ("baseline", "linear") else ONNX_LIMIT)
    if family != "baseline":
        assert len(np.unique(found.round(9), axis=0)) > 10, "the rows differ"
    [names] = [one.value for one in onnx.load_from_string(data).metadata_props]
    assert json.loads(names) == list(tiny_transform().feature_names)


def test_a_class_that_no_training_row_had_has_the_share_0() -> None:
    model = LinearModel(Description("logistic", 2, 4, (0, 2), True), [[1.0, -2.0]], [0.5])
    features = np.array([[1, 2], [3, -4]], np.float32)
    found = run_onnx(to_onnx(model, 4, ("a", "b")), features)
    np.testing.assert_allclose(found, model.predict(features), rtol=1e-12)


def test_an_export_holds_a_checked_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Home(tmp_path).pipeline("tiny")
    registry = Registry(f"sqlite:///{tmp_path / 'raypipe.db'}", SystemClock())
    version = register_tiny_version(registry, folder, model=trained_tiny_model("xgboost", TINY_TASK))
    done = export(folder, version, tmp_path / "edge", with_onnx=True)
    assert done.onnx is not None and done.onnx.n_rows == 2
    assert done.onnx.largest_difference <= ONNX_LIMIT
    assert "model.onnx" in json.loads((tmp_path / "edge" / "version.json").read_text())["files"]
    assert "`model.onnx` is the model without the transform" in (tmp_path / "edge" / "README.md").read_text()
    monkeypatch.setattr("raypipe.serving.edge.export.ONNX_LIMIT", -1.0)
    with pytest.raises(ArtifactError, match="the ONNX graph must say what the model says"):
        export(folder, version, tmp_path / "other", with_onnx=True)
    assert not (tmp_path / "other").exists()


def test_what_onnx_needs_is_said() -> None:
    with pytest.raises(ConfigError, match=r"--onnx needs absent_package, .* 'raypipe\[onnx\]'"):
        onnx_package("absent_package")
