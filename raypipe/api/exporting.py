"""Exports as a person asks for them: a version, checked against rows that the endpoint answered with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.config.settings import Config
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, silent
from raypipe.registry.store import Registry

if TYPE_CHECKING:
    from raypipe.serving.edge.export import Exported

CAPTURED_ROWS = 500


def export_version(
    config: Config,
    registry: Registry,
    version: str,
    to: Path,
    *,
    n_captured: int = CAPTURED_ROWS,
    with_onnx: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Export a version, or what an alias names, into a new folder that answers without Ray.

    It must answer its golden rows, and up to `n_captured` rows that the endpoint answered with the version,
    as they were answered. `with_onnx` adds the model as an ONNX graph. Raises UnknownVersion, ConfigError and
    ArtifactError.
    """
    from raypipe.api.scoring import named_version
    from raypipe.serving.edge.export import export

    found = named_version(config, registry, version)
    answered = captured_answers(config.folder, found.version, n_captured)
    return export(config.folder, found, to, answered=answered, with_onnx=with_onnx, progress=progress)


def captured_answers(folder: PipelineHome, version: str, n_rows: int) -> list[Mapping[str, Json]]:
    """Return up to so many captured rows that a version answered: `inputs`, `prediction`, `probabilities`."""
    from raypipe.data.captured import answer_of, prediction_schema
    from raypipe.data.table import open_table, table_exists

    if n_rows == 0 or not table_exists(folder.predictions):
        return []
    import pyarrow.compute as pc

    rows = open_table(folder.predictions, prediction_schema()).to_pyarrow_dataset()
    columns = ["inputs", "prediction", "probabilities"]
    some = rows.scanner(columns=columns, filter=pc.field("version") == version).head(n_rows)
    return [{**row, "prediction": answer_of(row["prediction"])} for row in some.to_pylist()]
