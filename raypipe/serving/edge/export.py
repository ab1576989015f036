"""From a registered version to a folder that answers by itself, proven before it is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from raypipe.core.errors import ArtifactError, ConfigError
from raypipe.core.files import fsync_tree, storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, sha256_file
from raypipe.core.progress import Progress, Step, silent
from raypipe.processing.transform import FittedTransform
from raypipe.registry.manifest import verify
from raypipe.registry.values import ModelVersion
from raypipe.serving.edge.needs import importable, needed_packages, own_needs, pinned
from raypipe.serving.edge.proof import Checked, prove
from raypipe.serving.edge.runtime import DESCRIPTION
from raypipe.serving.edge.vendor import copy_modules
from raypipe.serving.golden import GOLDEN_NAME, read_golden
from raypipe.serving.predictor import MODEL_FOLDER, Predictor, load_predictor
from raypipe.serving.request import Hints, RequestSchema, RowError

_TEMPLATES = Path(__file__).parent / "templates"
REQUIREMENTS = "requirements.txt"
ONNX = "model.onnx"
ONNX_LIMIT = 1e-5
"""How far an ONNX graph, much of it in float32, may be from the model: relative to what is beyond 1."""


@dataclass(frozen=True)
class OnnxChecked:
    """On how many rows a graph was compared with the model, and the largest difference, relative beyond 1."""

    n_rows: int
    largest_difference: float


@dataclass(frozen=True)
class Exported:
    """What was exported, and how it answered known rows."""

    folder: Path
    version: str
    requirements: tuple[str, ...]
    code_of_yours: tuple[str, ...]
    """Import paths of code that the transform or the model runs, and that the folder does not hold."""
    n_bytes: int
    checked: Mapping[str, Checked]
    onnx: OnnxChecked | None = None

    def to_json(self) -> dict[str, Json]:
        return {
            "folder": str(self.folder),
            "version": self.version,
            "requirements": list(self.requirements),
            "code_of_yours": list(self.code_of_yours),
            "n_bytes": self.n_bytes,
            "checked": {kind: checked.to_json() for kind, checked in self.checked.items()},
            "onnx": None if self.onnx is None else dict(vars(self.onnx)),
        }


def export(
    home: PipelineHome,
    version: ModelVersion,
    to: Path,
    *,
    answered: Sequence[Mapping[str, Json]] = (),
    with_onnx: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write a version into a new folder, once it has answered its golden rows and `answered` there.

    Each of `answered` has `inputs` (JSON as text), `prediction` and `probabilities` (or None). `with_onnx`
    adds the model, without the transform, as an ONNX graph. Raises ConfigError for a folder that holds
    something, ArtifactError where an answer differs.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"--to must be a new or an empty folder. Got {str(to)!r}, which holds something.")
    staged = to.with_name(f".{to.name}.export")
    with storage_errors(to):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            progress(Step("export", f"writing {version.version}"))
            exported = _staged(home, version, staged, answered if with_onnx else None)
            modules = importable(line.partition("==")[0] for line in exported.requirements)
            tops = [path.partition(".")[0].partition(":")[0] for path in exported.code_of_yours]
            progress(Step("export", f"answering {len(answered):,} captured rows and the golden ones"))
            checked = prove(staged, [*modules, *tops], answered)
            fsync_tree(staged)
            if to.exists():
                to.rmdir()
            staged.rename(to)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return replace(exported, folder=to, checked=checked)


def _staged(
    home: PipelineHome, version: ModelVersion, folder: Path, for_onnx: Sequence[Mapping[str, Json]] | None
) -> Exported:
    source = home.model(version.version)
    manifest = verify(source, version.manifest_sha256)
    predictor = load_predictor(source, version.manifest_sha256)
    transform = predictor.transform
    shutil.copytree(source / MODEL_FOLDER, folder / MODEL_FOLDER)
    onnx = None if for_onnx is None else _write_onnx(folder / ONNX, predictor, source, for_onnx)
    for path in _transform_files(source):
        shutil.copyfile(path, folder / path.name)
    copy_modules(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    more, own = own_needs(source / MODEL_FOLDER, manifest.format)
    requirements = tuple(pinned((*needed_packages(manifest.format, transform, names), *more)))
    code = (*transform.executes, *own)
    _write_texts(folder, version, requirements, transform, code, onnx)
    description: dict[str, Json] = {
        "pipeline": home.name,
        "version": version.version,
        "manifest_sha256": version.manifest_sha256,
        "format": manifest.format,
        "task": manifest.task,
        "frameworks": manifest.frameworks,
        "files": {name: sha256_file(folder / name) for name in names},
    }
    write_json(folder / DESCRIPTION, description)
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(folder, version.version, requirements, code, n_bytes, {}, onnx)


def _write_onnx(
    path: Path, predictor: Predictor, source: Path, answered: Sequence[Mapping[str, Json]]
) -> OnnxChecked:
    """Write the model as ONNX, once it says what the model says of the golden and the captured rows."""
    import numpy as np

    from raypipe.serving.edge.onnx_graph import run_onnx, to_onnx

    data = to_onnx(predictor.model, predictor.task.n_classes, predictor.transform.feature_names)
    schema = RequestSchema(predictor.transform.inputs, predictor.transform.ignored)
    texts = [json.dumps(row) for row in read_golden(source).rows] + [str(one["inputs"]) for one in answered]
    read = [schema.row(msgspec.Raw(text.encode()), Hints()) for text in texts]
    features = predictor.transform.transform_rows([row for row in read if not isinstance(row, RowError)])
    expected, found = predictor.model.predict(features), run_onnx(data, features)
    far = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
    if not far <= ONNX_LIMIT:
        raise ArtifactError(
            f"the ONNX graph must say what the model says, within {ONNX_LIMIT:g}. "
            f"Got a difference of {far:g}."
        )
    path.write_bytes(data)
    return OnnxChecked(len(features), far)


def _transform_files(source: Path) -> list[Path]:
    """Return what `write_transform` wrote, and the golden rows."""
    return [source / GOLDEN_NAME, source / "transform.json", *sorted(source.glob("step-*"))]


def _write_texts(
    folder: Path,
    version: ModelVersion,
    requirements: Sequence[str],
    transform: FittedTransform,
    code_of_yours: Sequence[str],
    onnx: OnnxChecked | None,
) -> None:
    shutil.copyfile(_TEMPLATES / "score.py.txt", folder / "score.py")
    (folder / REQUIREMENTS).write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    code = "".join(f"\n- `{path}`" for path in code_of_yours)
    columns = "".join(
        f"\n| `{column.name}` | {column.kind} | {'may be missing' if column.nullable else 'must be there'} |"
        for column in transform.inputs
    )
    text = (_TEMPLATES / "README.md").read_text(encoding="utf-8")
    text = text.replace("{version}", version.version).replace("{pipeline}", version.pipeline)
    text = text.replace("{columns}", columns).replace("{onnx}", _about_onnx(onnx))
    text = text.replace("{code}", f"\nIt runs code that you bring on the path:{code}\n" if code else "")
    (folder / "README.md").write_text(text, encoding="utf-8")


def _about_onnx(onnx: OnnxChecked | None) -> str:
    if onnx is None:
        return ""
    told = (_TEMPLATES / "onnx.md").read_text(encoding="utf-8")
    return told.replace("{n_rows}", f"{onnx.n_rows:,}").replace("{far}", f"{onnx.largest_difference:.1e}")
