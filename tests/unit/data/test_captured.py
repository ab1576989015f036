from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import DataError
from raypipe.data.captured import (
    Answer,
    LabelRecord,
    PredictionRecord,
    Record,
    answer_of,
    decode,
    encode,
    label_schema,
    label_table,
    prediction_schema,
    prediction_table,
)

text = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
answers = (
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | text
)
probabilities = st.none() | st.lists(st.floats(0, 1), min_size=2, max_size=3).map(tuple)
predictions = st.builds(PredictionRecord, text, times, text, text, text, answers, probabilities)
labels = st.builds(LabelRecord, text, answers, times)


@given(predictions | labels)
def test_a_record_survives_the_log(record: Record) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\xa1z\x01\x02"])
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(DataError, match="a captured record cannot be read"):
        decode(payload)


@given(st.lists(predictions, max_size=5))
def test_predictions_become_rows(records: list[PredictionRecord]) -> None:
    table = prediction_table(records)
    assert table.schema == prediction_schema()
    rows = table.to_pylist()
    assert [(row["id"], row["at"], row["inputs"]) for row in rows] == [
        (r.id, r.at, r.inputs) for r in records
    ]
    for row, record in zip(rows, records, strict=True):
        answer = answer_of(row["prediction"])
        assert (type(answer), answer) == (type(record.prediction), record.prediction)
        assert row["probabilities"] == (None if record.probabilities is None else list(record.probabilities))


@given(st.lists(labels, max_size=5))
def test_labels_become_rows(records: list[LabelRecord]) -> None:
    table = label_table(records)
    assert table.schema == label_schema()
    assert [answer_of(row["label"]) for row in table.to_pylist()] == [record.label for record in records]


@given(st.booleans() | st.integers() | st.floats() | text)
def test_an_answer_is_written_as_json(answer: Answer) -> None:
    rows = label_table([LabelRecord("p", answer, datetime(2026, 1, 31, tzinfo=UTC))])
    assert rows["label"].to_pylist() == [json.dumps(answer, ensure_ascii=False)]
