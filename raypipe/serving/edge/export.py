"""From a registered version to a folder that answers by itself, proven before it is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.errors import ConfigError
from raypipe.core.files import fsync_tree, storage_errors, write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json, sha256_file
from raypipe.core.progress import Progress, Step, silent
from raypipe.processing.transform import FittedTransform
from raypipe.registry.manifest import verify
from raypipe.registry.values import ModelVersion
from raypipe.serving.edge.needs import importable, needed_packages, pinned
from raypipe.serving.edge.proof import Checked, prove
from raypipe.serving.edge.runtime import DESCRIPTION
from raypipe.serving.edge.vendor import copy_modules
from raypipe.serving.golden import GOLDEN_NAME
from raypipe.serving.predictor import MODEL_FOLDER, load_predictor

_TEMPLATES = Path(__file__).parent / "templates"
REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class Exported:
    """What was exported, and how it answered known rows."""

    folder: Path
    version: str
    requirements: tuple[str, ...]
    code_of_yours: tuple[str, ...]
    """Import paths of code that the transform runs, and that the folder does not hold."""
    n_bytes: int
    checked: Mapping[str, Checked]

    def to_json(self) -> dict[str, Json]:
        return {
            "folder": str(self.folder),
            "version": self.version,
            "requirements": list(self.requirements),
            "code_of_yours": list(self.code_of_yours),
            "n_bytes": self.n_bytes,
            "checked": {kind: checked.to_json() for kind, checked in self.checked.items()},
        }


def export(
    home: PipelineHome,
    version: ModelVersion,
    to: Path,
    *,
    answered: Sequence[Mapping[str, Json]] = (),
    progress: Progress = silent,
) -> Exported:
    """Write a version into a new folder, once it has answered its golden rows and `answered` there.

    Each of `answered` has `inputs` (JSON as text), `prediction` and `probabilities` (or None). Raises
    ConfigError for a folder that holds something, ArtifactError where an answer differs.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"--to must be a new or an empty folder. Got {str(to)!r}, which holds something.")
    staged = to.with_name(f".{to.name}.export")
    with storage_errors(to):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            progress(Step("export", f"writing {version.version}"))
            exported = _staged(home, version, staged)
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
    return Exported(
        to, version.version, exported.requirements, exported.code_of_yours, exported.n_bytes, checked
    )


def _staged(home: PipelineHome, version: ModelVersion, folder: Path) -> Exported:
    source = home.model(version.version)
    manifest = verify(source, version.manifest_sha256)
    transform = load_predictor(source, version.manifest_sha256).transform
    shutil.copytree(source / MODEL_FOLDER, folder / MODEL_FOLDER)
    for path in _transform_files(source):
        shutil.copyfile(path, folder / path.name)
    copy_modules(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    packages = needed_packages(manifest.format, transform, names)
    requirements = tuple(pinned(packages))
    _write_texts(folder, version, requirements, transform)
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
    return Exported(folder, version.version, requirements, transform.executes, n_bytes, {})


def _transform_files(source: Path) -> list[Path]:
    """Return what `write_transform` wrote, and the golden rows."""
    return [source / GOLDEN_NAME, source / "transform.json", *sorted(source.glob("step-*"))]


def _write_texts(
    folder: Path, version: ModelVersion, requirements: Sequence[str], transform: FittedTransform
) -> None:
    shutil.copyfile(_TEMPLATES / "score.py.txt", folder / "score.py")
    (folder / REQUIREMENTS).write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    code = "".join(f"\n- `{path}`" for path in transform.executes)
    columns = "".join(
        f"\n| `{column.name}` | {column.kind} | {'may be missing' if column.nullable else 'must be there'} |"
        for column in transform.inputs
    )
    text = (_TEMPLATES / "README.md").read_text(encoding="utf-8")
    text = text.replace("{version}", version.version).replace("{pipeline}", version.pipeline)
    text = text.replace("{columns}", columns)
    text = text.replace("{code}", f"\nIt runs code that you bring on the path:{code}\n" if code else "")
    (folder / "README.md").write_text(text, encoding="utf-8")
