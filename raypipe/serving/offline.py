"""Answers without an endpoint: the same parsing, the same predictor, nothing captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from raypipe.core.errors import DataError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.schema import Value
from raypipe.serving.answers import answer, iterate
from raypipe.serving.pointer import Pointer
from raypipe.serving.predictor import Predictions
from raypipe.serving.request import RefusedRequest, RowError
from raypipe.serving.swap import load_version

if TYPE_CHECKING:
    from raypipe.registry.values import ModelVersion


def answer_rows(
    folder: PipelineHome, version: ModelVersion, rows: Sequence[Mapping[str, Value]]
) -> list[Json]:
    """Return one answer a row, as the endpoint gives it; raises DataError where all rows are refused.

    Raises ArtifactError where the version's folder is not what was registered.
    """
    if not rows:
        return []
    loaded = load_version(folder, Pointer(version.version, version.manifest_sha256, 0))
    body = msgspec.json.encode({"rows": list(rows)})
    try:
        request = loaded.schema.parse(body, max(1, len(rows)))
    except RefusedRequest as error:
        raise DataError(str(error)) from error
    valid = [row for row in request.rows if not isinstance(row, RowError)]
    predictions = loaded.predictor.predict_rows(valid) if valid else Predictions([], None, [])
    ids = [str(number) for number in range(len(request.rows))]
    return list(answer(request, iterate(predictions), ids, loaded.class_names).items)
