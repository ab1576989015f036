"""Golden rows of people who were erased: replaced wherever a process dies, and the version still verifies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.data.config import DataSettings
from raypipe.data.erasure.records import keep_noted, noted_models
from raypipe.data.fragments import read_rows
from raypipe.data.ingest import ingest
from raypipe.registry.datasets import PipelineVersions
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.amending import amend
from raypipe.serving.golden import GOLDEN_NAME, read_golden, write_golden
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.serving.predictor import MODEL_FOLDER, Predictor, load_predictor
from raypipe.testing import FakeClock
from raypipe.testing.data import SourceInMemory, feeds_in_memory
from raypipe.testing.serving import TINY_ROW, TINY_TASK, tiny_model, tiny_rows, tiny_transform, write_files

THEIRS = {**TINY_ROW, "colour": "ann@example.org"}
ERASURE = "e-0123456789ab"


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{tmp_path / 'raypipe.db'}", FakeClock(), mounts=lambda: "")


@pytest.fixture
def model(folder: PipelineHome, registry: Registry) -> ModelVersion:
    """Return a version that learned from rows of which one is among its golden rows, and serves."""
    from raypipe.registry.manifest import ManifestDraft

    unused = {"name": "unused", "format": "csv", "path": "nowhere"}
    settings = DataSettings.model_validate({"sources": [unused], "label": "outcome"})
    rows = pa.table(
        {**{name: [row[name] for row in tiny_rows(40)] for name in TINY_ROW}, "outcome": ["bad", "good"] * 20}
    )
    feeds = feeds_in_memory(settings, SourceInMemory("s", [rows]))
    data = ingest(settings, folder, PipelineVersions(registry, "p"), clock=FakeClock(), feeds=feeds)
    staged, predictor = folder.root / "staged", Predictor(tiny_transform(), TINY_TASK, tiny_model())
    write_files(predictor, staged)
    write_golden(predictor, [THEIRS, TINY_ROW], staged)
    example = json.dumps({"rows": read_golden(staged).rows[:1]}, indent=2, ensure_ascii=False)
    (staged / "CARD.md").write_text(f"# card\n```json\n{example}\n```\nend")
    task = TINY_TASK.to_json()
    draft = ManifestDraft("p", data.id, "r-0", task, "tiny", "constant-json", {}, {}, {})
    made = registry.register("p", staged, folder.models, draft)
    write_pointer(folder.pointer, Pointer("v1", made.manifest_sha256, 3))
    return made


def check(folder: PipelineHome, registry: Registry, before: ModelVersion) -> None:
    now = registry.model_version("p", "v1")
    place = folder.model("v1")
    assert now.manifest_sha256 != before.manifest_sha256
    assert load_predictor(place, now.manifest_sha256).predict_rows([TINY_ROW]).values == ["good"]
    assert read_pointer(folder.pointer) == Pointer("v1", now.manifest_sha256, 3)
    left = read_rows(folder, registry.data_versions("p")[0])["size"].to_pylist()
    golden = read_golden(place).rows
    assert len(golden) > 2 and all(isinstance(row, dict) and row["size"] in left for row in golden)
    for path in folder.root.rglob("*"):
        assert not path.is_file() or b"ann@example.org" not in path.read_bytes()
    card = (place / "CARD.md").read_text()
    assert json.loads(card.split("```json")[1].split("```")[0])["rows"] == golden[:1]
    assert [path.name for path in folder.models.iterdir()] == ["v1"]
    assert (place / MODEL_FOLDER / "constant.json").exists() and not folder.amending.exists()


def test_all_golden_rows_are_replaced_and_the_version_is_signed_anew(
    folder: PipelineHome, registry: Registry, model: ModelVersion
) -> None:
    keep_noted(folder, {"v1": (ERASURE, (GOLDEN_NAME,)), "v7": (ERASURE, (GOLDEN_NAME,))})
    amend(registry, folder)
    check(folder, registry, model)
    last = registry.history("p", 1)[0]
    assert (last.kind, last.subject) == ("model_amended", "v1")
    assert isinstance(last.detail, dict) and last.detail["before"] == model.manifest_sha256
    amend(registry, folder)
    assert registry.history("p", 1)[0] == last


class Killed(BaseException):
    """The end of the process, as far as the code under test can tell."""


@pytest.mark.parametrize("step", range(4))
def test_a_kill_at_any_step_leaves_what_the_next_call_finishes(
    folder: PipelineHome, registry: Registry, model: ModelVersion, step: int
) -> None:
    keep_noted(folder, {"v1": (ERASURE, (GOLDEN_NAME,))})
    steps: list[str] = []

    def die(told: str) -> None:
        steps.append(told)
        if len(steps) == step + 1:
            raise Killed

    with pytest.raises(Killed):
        amend(registry, folder, on_step=die)
    assert noted_models(folder)
    amend(registry, folder)
    check(folder, registry, model)


def test_a_version_whose_rows_are_gone_keeps_waiting_and_says_so(
    folder: PipelineHome, registry: Registry, model: ModelVersion
) -> None:
    keep_noted(folder, {"v1": (ERASURE, (GOLDEN_NAME,))})
    for file in folder.rows.glob("*.parquet"):
        file.unlink()
    told: list[str] = []
    amend(registry, folder, lambda step: told.append(step.message))
    assert told[0].startswith("v1 keeps golden rows of people, so remove it: ")
    assert noted_models(folder) == {"v1": (ERASURE, (GOLDEN_NAME,))}
    assert replace(model) == registry.model_version("p", "v1")
