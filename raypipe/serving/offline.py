"""Answers without an endpoint: the same parsing, the same predictor, nothing captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from raypipe.core.errors import DataError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.schema import Value
from raypipe.serving.answers import answer_body
from raypipe.serving.pointer import Pointer
from raypipe.serving.request import RefusedRequest
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
        return list(answer_body(loaded.schema, loaded.predictor, loaded.class_names, body, len(rows)))
    except RefusedRequest as error:
        raise DataError(str(error)) from error
