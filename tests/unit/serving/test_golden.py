from __future__ import annotations

import errno
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError, StorageError
from raypipe.data.schema import Column
from raypipe.serving.golden import golden_rows, read_golden, replay, write_golden
from raypipe.serving.predictor import Predictor
from raypipe.testing import FailingDisk
from raypipe.testing.serving import TINY_ROW, TINY_TASK, tiny_model, tiny_transform
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.task import Task

PREDICTOR = Predictor(tiny_transform(), TINY_TASK, tiny_model())


def test_rows_are_spread_over_the_table_and_become_what_requests_bring() -> None:
    table = pa.table(
        {
            "x": [float(i) for i in range(1000)],
            "price": [Decimal("1.50")] * 1000,
            "day": [date(2026, 1, 31)] * 1000,
            "unused": list(range(1000)),
        }
    )
    inputs = (
        Column("x", "number", False),
        Column("price", "number", False),
        Column("day", "timestamp", True),
    )
    rows = golden_rows(table, inputs, 8)
    assert len(rows) == 8
    assert rows[0] == {"x": 0.0, "price": 1.5, "day": datetime(2026, 1, 31)}
    found = [row["x"] for row in rows]
    assert found == sorted(set(found))
    assert found[-1] >= 800


def test_rows_that_no_request_may_bring_are_passed_over() -> None:
    table = pa.table({"x": [None, float("nan"), 1.0, float("inf"), 2.0], "y": [1.0, 1.0, None, 1.0, 2.0]})
    inputs = (Column("x", "number", False), Column("y", "number", True))
    assert golden_rows(table, inputs) == [{"x": 1.0, "y": None}, {"x": 2.0, "y": 2.0}]


def test_a_table_of_few_rows_gives_them_all() -> None:
    assert len(golden_rows(pa.table({"x": [1.0, 2.0]}), (Column("x", "number", False),))) == 2


def test_what_was_written_is_replayed(tmp_path: Path) -> None:
    write_golden(PREDICTOR, [TINY_ROW, {**TINY_ROW, "amount": None}], tmp_path)
    replay(PREDICTOR, tmp_path)
    golden = read_golden(tmp_path)
    assert golden.answers == [[0.25, 0.75]] * 2
    assert golden.rows[0]["seen"] == "2026-01-31T12:00:00+00:00"  # type: ignore[index,call-overload]


def test_a_regression_is_replayed(tmp_path: Path) -> None:
    task = Task("regression", "amount", (), "mae")
    write_golden(Predictor(tiny_transform(), task, ConstantModel((), 3.5)), [TINY_ROW], tmp_path)
    replay(Predictor(tiny_transform(), task, ConstantModel((), 3.5 * (1 + 1e-7))), tmp_path)
    with pytest.raises(ArtifactError, match=r"must be answered with 3\.5, as at registration\. Got 3\.6"):
        replay(Predictor(tiny_transform(), task, ConstantModel((), 3.6)), tmp_path)


def test_a_difference_of_the_last_bits_is_no_difference(tmp_path: Path) -> None:
    write_golden(PREDICTOR, [TINY_ROW], tmp_path)
    replay(Predictor(tiny_transform(), TINY_TASK, tiny_model(0.75 + 1e-9)), tmp_path)
    with pytest.raises(ArtifactError, match="row 0"):
        replay(Predictor(tiny_transform(), TINY_TASK, tiny_model(0.75 + 1e-5)), tmp_path)


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_a_model_that_answers_no_number_is_not_registered(tmp_path: Path, share: float) -> None:
    class Broken(ConstantModel):
        def predict(self, features: np.ndarray) -> np.ndarray:
            return np.full((len(features), 2), share)

    broken = Predictor(tiny_transform(), TINY_TASK, Broken((0.5, 0.5), None))
    with pytest.raises(ArtifactError, match="row 0 of the golden rows must be answered with a finite number"):
        write_golden(broken, [TINY_ROW], tmp_path)
    write_golden(PREDICTOR, [TINY_ROW], tmp_path)
    with pytest.raises(ArtifactError, match=r"golden\.json must be answered with a finite number"):
        replay(broken, tmp_path)


def test_golden_rows_must_be_valid_requests(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="row 0 of the golden rows is no valid request: size is missing"):
        write_golden(PREDICTOR, [{"colour": "red", "member": True}], tmp_path)
    with pytest.raises(ArtifactError, match="at least one golden row"):
        write_golden(PREDICTOR, [], tmp_path)


def test_a_task_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    write_golden(PREDICTOR, [TINY_ROW], tmp_path)
    value = json.loads((tmp_path / "golden.json").read_text())
    (tmp_path / "golden.json").write_text(json.dumps(value | {"answers": [[0.25, 0.5, 0.25]]}))
    with pytest.raises(ArtifactError, match="row 0"):
        replay(PREDICTOR, tmp_path)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk is full"):
        write_golden(PREDICTOR, [TINY_ROW], tmp_path, FailingDisk(errno.ENOSPC))


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    naive = {**TINY_ROW, "seen": datetime(2026, 1, 31, 12)}
    aware = {**TINY_ROW, "seen": datetime(2026, 1, 31, 12, tzinfo=UTC)}
    write_golden(PREDICTOR, [naive, aware], tmp_path)
    replay(PREDICTOR, tmp_path)
