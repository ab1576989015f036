"""What a version answered when it was graded, kept beside its reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.graded import (
    GRADED_NAME,
    Answered,
    graded,
    read_graded,
    slice_name,
    write_graded,
)
from raypipe.monitoring.harm import MAX_RANKED, Budget
from raypipe.monitoring.joint import Sample
from raypipe.monitoring.reference import Reference
from raypipe.training.task import Task

CLASSES = Task("classification", "y", ("bad", "good"), "accuracy")
AMOUNTS = Task("regression", "y", (), "mae")
ROWS = pa.table({"x": [float(i % 100) for i in range(3_000)], "c": ["a", "b", None] * 1_000})
SLICED = Reference.of(Profile.of_table(ROWS), schema_columns(ROWS.schema))
SAMPLE = Sample.of(SLICED, ROWS, seed=0)


def of_classes() -> Answered:
    sure = np.linspace(0.51, 1.0, 3_000)
    return Answered(np.stack([1 - sure, sure], axis=1), (np.arange(3_000) % 10 > 0).astype(np.int64))


def of_amounts() -> Answered:
    random = np.random.default_rng(0)
    answers = random.normal(size=3_000)
    return Answered(answers, answers + random.normal(size=3_000))


def test_classes(tmp_path: Path) -> None:
    found = graded(CLASSES, of_classes(), ROWS, SLICED.only(["c"]), SAMPLE)
    assert (found.n_rows, found.n_wrong, found.errors) == (3_000, 300, ())
    assert found.release(Budget()).mean == 0.1
    assert found.score is not None and found.score.value == pytest.approx(0.9)
    assert 0.88 < found.score.low < 0.9 < found.score.high < 0.92
    assert [one.column.name for one in found.answers.columns] == ["answer.class", "answer.confidence"]
    assert list(found.slices) == ["c"]
    assert [(n, total) for n, total in found.slices["c"] if n] == [(1_000, 100.0)] * 3
    write_graded(tmp_path, found)
    again = read_graded(tmp_path)
    assert again is not None and again.to_json() == found.to_json()


def test_amounts(tmp_path: Path) -> None:
    found = graded(AMOUNTS, of_amounts(), ROWS, SLICED, SAMPLE)
    assert (found.n_rows, found.n_wrong, len(found.errors)) == (3_000, None, MAX_RANKED)
    assert list(found.errors) == sorted(found.errors) and found.errors[0] >= 0
    assert found.release(Budget()).mean == 0.5
    assert found.score is not None and found.score.low < found.score.value < found.score.high
    assert found.score.value == pytest.approx(np.abs(of_amounts().raw - of_amounts().target).mean())
    assert [one.column.name for one in found.answers.columns] == ["answer.value"]
    assert sum(total for _, total in found.slices["x"]) == pytest.approx(1_500)
    write_graded(tmp_path, found)
    again = read_graded(tmp_path)
    assert again is not None and again.to_json() == found.to_json()


def test_answers_that_are_not_finite_are_none() -> None:
    answered = of_amounts()
    broken = np.where(np.arange(3_000) % 2, answered.raw, np.nan)
    found = graded(AMOUNTS, Answered(broken, answered.target), ROWS, SLICED, SAMPLE)
    assert found.n_rows == 1_500 and np.isfinite(found.errors).all()
    with pytest.raises(ArtifactError, match="Got none of 3000"):
        graded(AMOUNTS, Answered(np.full(3_000, np.nan), answered.target), ROWS, SLICED, SAMPLE)


def test_a_version_of_before_has_none_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    assert read_graded(tmp_path) is None
    whole = graded(CLASSES, of_classes(), ROWS, SLICED, SAMPLE).to_json()
    (tmp_path / GRADED_NAME).write_text(json.dumps({key: whole[key] for key in whole if key != "score"}))
    older = read_graded(tmp_path)
    assert older is not None and (older.n_wrong, older.score) == (300, None)
    for broken in (
        [],
        {**whole, "score": [0.9]},
        {**whole, "score": "good"},
        {**whole, "slices": {"c": [["many", 1.0]]}},
        {**whole, "errors": ["large"]},
    ):
        (tmp_path / GRADED_NAME).write_text(json.dumps(broken))
        with pytest.raises(ArtifactError, match=r"graded\.json cannot be read as graded rows"):
            read_graded(tmp_path)


def test_slices_are_named_as_people_do() -> None:
    x, c = SLICED.columns
    names = [slice_name(x, place) for place in range(x.bins.n + 1)]
    assert names[0] == "x < 0" and names[1].startswith("x in [0, ") and names[2].startswith("x in (")
    assert names[-2:] == ["x > 99", "x is missing"]
    assert [slice_name(c, place) for place in range(5)] == [
        "c = a",
        "c = b",
        "c is another",
        "c is new",
        "c is missing",
    ]
