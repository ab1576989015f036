"""From rows to answers: the transform, the task and the model of one version, loaded only if proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from raypipe.core.errors import ArtifactError, ServingError
from raypipe.data.schema import Value
from raypipe.processing.stored import read_transform
from raypipe.processing.transform import FittedTransform
from raypipe.registry.manifest import Manifest, verify
from raypipe.serving.golden import replay
from raypipe.serving.tables import table_of
from raypipe.training.models import MODEL_FOLDER as MODEL_FOLDER
from raypipe.training.models import Float32Matrix, Float64Array, Model, load_model
from raypipe.training.onnx_file import refuse_elsewhere
from raypipe.training.task import ClassValue, Task

if TYPE_CHECKING:
    import pyarrow as pa


MAX_ROWS_BY_ROW = 2_000
"""Up to so many rows (measured) the row path is faster than the table path; both give the same bits."""

Answer: TypeAlias = "ClassValue | float"


@dataclass(frozen=True)
class Predictions:
    """One answer a row.

    `values` are classes in the label's own type, or floats; `probabilities` has the shape
    (n_rows, n_classes), in the order of the task's classes, and is None for regression. `finite` is False
    where the model gave no finite number.
    """

    values: Sequence[Answer]
    probabilities: Float64Array | None
    finite: Sequence[bool]


@dataclass(frozen=True)
class Predictor:
    """What a version needs to answer; the same object answers a request and a batch."""

    transform: FittedTransform
    task: Task
    model: Model

    def predict_rows(self, rows: Sequence[Mapping[str, Value]]) -> Predictions:
        """Answer rows as requests bring them."""
        if len(rows) > MAX_ROWS_BY_ROW:
            return self.predict_table(table_of(rows, self.transform.inputs))
        return self._predict(self.transform.transform_rows(rows))

    def predict_table(self, table: pa.Table) -> Predictions:
        """Answer the rows of a table that has the transform's input columns."""
        return self._predict(self.transform.transform_table(table))

    def _predict(self, features: Float32Matrix) -> Predictions:
        import numpy as np

        raw = self.model.predict(features)
        n_rows = features.shape[0]
        shape = (n_rows, self.task.n_classes) if self.task.kind == "classification" else (n_rows,)
        if raw.shape != shape:
            raise ServingError(
                f"the model must answer in the shape {shape}, as its task says. Got {raw.shape}; "
                "it was not trained for this task."
            )
        if self.task.kind == "regression":
            return Predictions(raw.tolist(), None, np.isfinite(raw).tolist())
        finite = np.isfinite(raw.sum(axis=1)).tolist()
        return Predictions([self.task.classes[code] for code in raw.argmax(axis=1).tolist()], raw, finite)


def load_predictor(folder: Path, manifest_sha256: str) -> Predictor:
    """Load a version after proving its files, and prove that it answers as it did at registration.

    Raises ArtifactError for a folder that differs from its manifest, for files that cannot be read or name
    others, and for golden rows that are answered otherwise. Answering them also warms the model.
    """
    manifest = verify(folder, manifest_sha256)
    refuse_elsewhere(folder / MODEL_FOLDER)
    predictor = Predictor(
        read_transform(folder), _task(folder, manifest), load_model(folder / MODEL_FOLDER, manifest.format)
    )
    replay(predictor, folder)
    return predictor


def _task(folder: Path, manifest: Manifest) -> Task:
    try:
        return Task.from_json(manifest.task)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"the manifest of {folder} names no valid task ({error}).") from error
