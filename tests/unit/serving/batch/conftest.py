"""A job that scores files of rows by a version that answers in no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.home import PipelineHome
from raypipe.serving.batch.job import ScoreJob
from raypipe.serving.batch.places import Place, settings_of
from raypipe.serving.pointer import Pointer
from raypipe.serving.request import RequestSchema
from raypipe.testing.serving import tiny_transform, write_tiny_version


@pytest.fixture
def schema() -> RequestSchema:
    return RequestSchema(tiny_transform().inputs)


@pytest.fixture
def pointer(folder: PipelineHome) -> Pointer:
    return write_tiny_version(folder, "v1", 1)


@pytest.fixture
def job(folder: PipelineHome, pointer: Pointer) -> Callable[..., ScoreJob]:
    def make(place: Path | str | Place, *keep: str) -> ScoreJob:
        found = place if isinstance(place, Place) else Place(str(place))
        return ScoreJob(folder, pointer, settings_of(found), {}, keep)

    return make


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder of files with 3, 4, 5 and 6 rows, whose sizes count up; each file has a bad row."""
    folder, size = tmp_path / "rows", 0
    folder.mkdir()
    for number in range(4):
        sizes = list(range(size, size + 3 + number))
        size += len(sizes)
        colours = [None if i == 1 else "red" for i in range(len(sizes))]
        table = pa.table({"size": sizes, "colour": colours, "member": [True] * len(sizes)})
        parquet.write_table(table, folder / f"{number}.parquet")
    return folder
