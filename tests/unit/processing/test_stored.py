from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError, StorageError
from raypipe.data.schema import Column
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedCategory, FittedCross, FittedOrdinal, FittedTarget
from raypipe.processing.stored import MAX_INLINE, TRANSFORM_NAME, read_transform, write_transform
from raypipe.processing.transform import FittedTransform
from raypipe.testing import FailingDisk

N = MAX_INLINE + 1
NAMES = tuple(f"näme {i}" for i in range(N))
COLUMN = Column("c", "category", True)
FEW, MANY = FittedOrdinal(COLUMN, ("a", "b"), False), FittedOrdinal(COLUMN, NAMES, True, fill="näme 3")
MEANS = (tuple(i / 7 for i in range(N)), tuple(-i / 3 for i in range(N)))
TARGET = FittedTarget(COLUMN, ("x", "y"), NAMES, MEANS, (0.1, -1e30))
FREQUENCIES = FittedCategory(
    COLUMN, ("a",), True, False, tuple((name, i / 3) for i, name in enumerate(NAMES))
)
CROSS = FittedCross((Column("a", "integer", False), Column("b", "boolean", True)), MANY)
ALL = FittedTransform((FEW, MANY, TARGET, FREQUENCIES, CROSS), (FeatureChoice("c", 1, "for the test"),))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_transform(tmp_path, ALL)
    assert read_transform(tmp_path) == ALL
    rows = pa.table({"c": ["näme 7", None, "a", "?"], "a": [1, 2, 3, 4], "b": [True, None, False, True]})
    read = read_transform(tmp_path).transform_table(rows)
    assert read.tobytes() == ALL.transform_table(rows).tobytes()


def test_long_lists_are_files_of_their_own(tmp_path: Path) -> None:
    write_transform(tmp_path, ALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-1-values.arrow",
        "step-2-means.arrow",
        "step-2-values.arrow",
        "step-3-frequencies.arrow",
        "step-4-values.arrow",
        TRANSFORM_NAME,
    ]
    assert (tmp_path / TRANSFORM_NAME).stat().st_size < 20 * N
    assert json.loads((tmp_path / TRANSFORM_NAME).read_bytes())["steps"][0]["values"] == ["a", "b"]


def test_a_short_transform_is_one_file(tmp_path: Path) -> None:
    write_transform(tmp_path, replace(ALL, steps=(FEW,)))
    assert [path.name for path in tmp_path.iterdir()] == [TRANSFORM_NAME]


@pytest.mark.parametrize("harm", ["missing", "empty", "torn", "elsewhere", "shorter"])
def test_harmed_files_are_refused(tmp_path: Path, harm: str) -> None:
    write_transform(tmp_path, ALL)
    path = tmp_path / "step-1-values.arrow"
    if harm == "missing":
        path.unlink()
    elif harm in ("empty", "torn"):
        path.write_bytes(path.read_bytes()[: 0 if harm == "empty" else 300])
    elif harm == "elsewhere":
        text = (tmp_path / TRANSFORM_NAME).read_text(encoding="utf-8")
        (tmp_path / TRANSFORM_NAME).write_text(text.replace(path.name, f"../{path.name}"), encoding="utf-8")
    else:
        (tmp_path / TRANSFORM_NAME).write_text('{"steps": [{"step": "ordinal"}]}', encoding="utf-8")
    with pytest.raises(
        ArtifactError, match=r"transform.json cannot be read as a transform .*restore the folder"
    ):
        read_transform(tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        write_transform(tmp_path, ALL, FailingDisk())
