"""What a retrain's job leaves behind in the home, whatever became of the job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.core.progress import Step
from raypipe.training.compare import Comparison


@dataclass(frozen=True)
class Retrained:
    """What a retrain made: a version with its comparison, or the error that ended it, or both.

    A version with an error was made, and could not be compared: it does not answer as it must.
    """

    version: str | None = None
    data_version: str = ""
    champion_data_version: str | None = None
    family: str = ""
    params: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    cost_cpu_s: float | None = None
    comparison: Comparison | None = None
    note: str = ""
    """Why another action was taken than was decided."""
    cost_gpu_s: float | None = None
    error: str = ""


def write_result(folder: PipelineHome, decision: str, result: Retrained) -> None:
    """Keep the result of a decision, atomically."""
    write_json(_path(folder, decision), asdict(result) | {"params": dict(result.params)})


def read_result(folder: PipelineHome, decision: str) -> Retrained | None:
    """Return the result of a decision; None while there is none."""
    try:
        fields = json.loads(_path(folder, decision).read_bytes())
    except FileNotFoundError:
        return None
    compared = fields["comparison"]
    return Retrained(**{**fields, "comparison": None if compared is None else Comparison.from_json(compared)})


def write_progress(folder: PipelineHome, decision: str, step: Step) -> None:
    """Keep how far a retrain is, for those who watch."""
    write_json(_progress_path(folder, decision), {"stage": step.stage, "message": step.message})


def read_progress(folder: PipelineHome, decision: str) -> str:
    """Return how far a retrain is, as its job said last; empty while it has said nothing."""
    try:
        fields = json.loads(_progress_path(folder, decision).read_bytes())
    except FileNotFoundError:
        return ""
    return f"{fields['stage']}: {fields['message']}"


def _path(folder: PipelineHome, decision: str) -> Path:
    return folder.root / "decisions" / f"{decision}.json"


def _progress_path(folder: PipelineHome, decision: str) -> Path:
    return folder.root / "decisions" / f"{decision}.progress.json"
