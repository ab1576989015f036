"""Rows that judge after a first look: which they are, and what they show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.control.gate_measure import Answered, Contest, GateMeasure, Labelled
from raypipe.core.errors import DataError
from raypipe.data.config import SplitSettings
from raypipe.data.growth import split_grown
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.schema import Column
from raypipe.processing.steps import FittedCategory, FittedNumber
from raypipe.processing.transform import FittedTransform
from raypipe.serving.predictor import Predictor
from raypipe.stats.gains import Scale
from raypipe.training.models import Float32Matrix, Float64Array
from raypipe.training.task import Task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
COLUMNS = (
    Column("row", "number", False),
    Column("colour", "category", True),
    Column("outcome", "category", False),
)
TASK = Task("classification", "outcome", ("bad", "good"), "accuracy")


@dataclass
class Told:
    """A model that says `good` of a share of the rows, and remembers which rows it was asked."""

    good: float
    asked: list[int] = field(default_factory=list)
    format: str = "told"
    says: float = 1.0

    def predict(self, features: Float32Matrix) -> Float64Array:
        rows = features[:, 0].astype(np.int64)
        self.asked += rows.tolist()
        said = np.where(rows % 100 < 100 * self.good, self.says, 0.0)
        return np.stack([1 - said, said], axis=1)

    def save(self, folder: Path) -> None:
        raise AssertionError(f"nothing saves it, and not in {folder}")


def contest(champion: Told, challenger: Told, **others: object) -> Contest:
    transform = FittedTransform(
        (
            FittedNumber(COLUMNS[0], 0.0, 0.0, 1e9, 0.0, 1.0, False),
            FittedCategory(COLUMNS[1], ("blue", "red"), True, False),
        ),
        (),
    )
    old, new = (Predictor(transform, TASK, model) for model in (champion, challenger))
    found = Contest(
        old,
        new,
        "v1",
        "v2",
        Scale(5, 0.5),
        margin=0.0,
        max_rows=1_000,
        columns=COLUMNS,
        time=None,
        redacted=(),
        learned=(),
        since=NOON,
    )
    return replace(found, **others)  # type: ignore[arg-type]


def answered(row: int, second: int = 0) -> Answered:
    inputs = json.dumps({"row": row, "colour": "red" if row % 2 else "blue"})
    return Answered(f"r{row}", NOON + timedelta(seconds=second), "v1", inputs)


def labelled(row: int, second: int, label: str = "good") -> Labelled:
    return Labelled(f"r{row}", json.dumps(label), NOON + timedelta(seconds=second))


@dataclass(frozen=True)
class Row:
    """A row of live traffic: when it was answered, and labelled, and its label corrected."""

    at: int
    delay: int | None
    corrected: int | None

    @property
    def labels(self) -> tuple[int, ...]:
        if self.delay is None:
            return ()
        first = self.at + self.delay
        return (first,) if self.corrected is None else (first, first + self.corrected)


ROWS = st.lists(
    st.builds(
        Row,
        at=st.integers(1, 40),
        delay=st.none() | st.integers(0, 40),
        corrected=st.none() | st.integers(0, 40),
    ),
    min_size=1,
    max_size=60,
)


def grown(rows: Sequence[Row], until: int) -> list[int]:
    """Return the numbers of the rows that a version collected then holds."""
    return [n for n, row in enumerate(rows) if any(at <= until for at in row.labels)]


@given(
    rows=ROWS,
    first=st.integers(5, 50),
    between=st.integers(1, 40),
    max_rows=st.integers(1, 30),
    validation=st.sampled_from([0.1, 0.2, 0.4]),
    test=st.sampled_from([0.1, 0.2, 0.4]),
    looks=st.integers(1, 7),
)
def test_none_that_judges_was_trained_or_tuned_on_whatever_split_delay_and_growth(
    rows: list[Row], first: int, between: int, max_rows: int, validation: float, test: float, looks: int
) -> None:
    second = first + between
    champions, challengers = grown(rows, first), grown(rows, second)
    table = pa.table(
        {
            "row": challengers,
            ID_COLUMN: [f"r{n}" for n in challengers],
            AT_COLUMN: pa.array([NOON + timedelta(seconds=rows[n].at) for n in challengers]),
        },
        schema=pa.schema(
            [("row", pa.int64()), (ID_COLUMN, pa.string()), (AT_COLUMN, pa.timestamp("us", "UTC"))]
        ),
    )
    seen = frozenset(f"r{n}" for n in champions)
    settings = SplitSettings(validation=validation, test=test)
    try:
        split = split_grown(table, settings, max_rows=max_rows, seen=seen, time=None)
    except DataError:
        first_look, tuned = set[int](), set(challengers)
    else:
        first_look = set(split.test["row"].to_pylist())
        tuned = set(split.train["row"].to_pylist()) | set(split.validation["row"].to_pylist())
    assert not first_look & (set(champions) | tuned)

    challenger = Told(0.5)
    measure = GateMeasure(
        contest(
            Told(0.5),
            challenger,
            learned=frozenset(f"r{n}" for n in {*champions, *challengers}),
            since=NOON + timedelta(seconds=second),
            max_rows=max_rows,
        )
    )
    ends = [100 * look // looks for look in range(looks + 1)]
    for start, end in pairwise(ends):
        measure.take_answers([answered(n, one.at) for n, one in enumerate(rows) if start < one.at <= end])
        told = [(at, n) for n, one in enumerate(rows) for at in one.labels if start < at <= end]
        measure.take_labels([labelled(n, at) for at, n in sorted(told)])
    judged = challenger.asked
    assert not set(judged) & ({*champions, *challengers} | tuned | first_look)
    assert len(set(judged)) == len(judged)
    late = {n for n, row in enumerate(rows) if row.labels and row.labels[0] > second}
    assert set(judged) <= late
    # Of labels beyond the last look nothing is known yet.
    assert len(judged) == min(max_rows, sum(any(at <= 100 for at in rows[n].labels) for n in late))


def test_both_answer_the_same_rows_and_the_better_one_is_told() -> None:
    champion, challenger = Told(0.6), Told(0.9)
    measure = GateMeasure(contest(champion, challenger))
    assert measure.evidence is None
    for start in range(0, 400, 50):
        measure.take_answers([answered(n, n) for n in range(start, start + 50)])
        measure.take_labels([labelled(n, n + 5) for n in range(start, start + 50)])
    assert champion.asked == challenger.asked == list(range(400))
    found = measure.evidence
    assert found is not None
    scores = found.found
    assert (scores.n_rows, scores.champion_score, scores.challenger_score) == (400, 0.6, 0.9)
    assert (scores.gain, scores.gain_low, scores.champion, scores.challenger) == (
        pytest.approx(0.3),
        None,
        "v1",
        "v2",
    )
    assert {(one.column, one.value) for one in scores.slices} == {("colour", "red"), ("colour", "blue")}
    assert found.gains.n_rows == 400 and found.gains.is_above and not found.gains.is_below


def test_a_label_that_is_faster_than_its_answer_waits_for_it() -> None:
    challenger = Told(0.5)
    measure = GateMeasure(contest(Told(0.5), challenger))
    measure.take_labels([labelled(1, 10)])
    measure.take_answers([answered(1, 5)])
    measure.take_answers([answered(1, 5)])
    measure.take_labels([labelled(1, 20, "bad")])
    assert challenger.asked == [1]


def test_a_label_that_no_model_knows_judges_nothing() -> None:
    measure = GateMeasure(contest(Told(0.5), Told(0.5)))
    measure.take_answers([answered(1), answered(2)])
    measure.take_labels([labelled(1, 10, "unheard of"), labelled(2, 10)])
    found = measure.evidence
    assert found is not None and found.found.n_rows == 1


def test_redacted_columns_are_missing_for_both() -> None:
    challenger = Told(0.5)
    measure = GateMeasure(contest(Told(0.5), challenger, redacted={"row"}))
    measure.take_answers([answered(7)])
    measure.take_labels([labelled(7, 10)])
    assert challenger.asked == [0]


def test_answers_that_are_no_numbers_are_told_of_whose_they_are() -> None:
    measure = GateMeasure(contest(Told(0.5), Told(0.5, says=float("nan"))))
    measure.take_answers([answered(n) for n in range(20)])
    measure.take_labels([labelled(n, 10) for n in range(20)])
    found = measure.evidence
    assert found is not None and not found.found.champion_error
    assert found.found.challenger_error == "20 of its 20 answers are no finite numbers"
    assert found.gains.n_rows == 0
