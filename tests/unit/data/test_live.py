from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.data.captured import (
    Answer,
    LabelRecord,
    PredictionRecord,
    label_table,
    prediction_table,
)
from raypipe.data.live import answered_once, decode_inputs, labelled_predictions, last_labels, live_rows
from raypipe.data.schema import Column, schema_columns

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
COLUMNS = (
    Column("amount", "number", True),
    Column("size", "integer", True),
    Column("member", "boolean", True),
    Column("colour", "category", True),
    Column("seen", "timestamp", True),
)
ROWS = st.fixed_dictionaries(
    {
        "amount": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "size": st.none() | st.integers(-(2**63), 2**63 - 1),
        "member": st.none() | st.booleans(),
        "colour": st.none() | st.text(st.characters(codec="utf-8"), max_size=5),
        "seen": st.none() | st.datetimes(timezones=st.just(UTC)),
    }
)


def predicted(id: str, seconds: float = 0, inputs: Mapping[str, object] | None = None) -> PredictionRecord:
    at = NOON + timedelta(seconds=seconds)
    return PredictionRecord(id, at, "v1", "champion", json.dumps(inputs or {}), "good", (0.25, 0.75))


def labelled(id: str, label: Answer, seconds: float = 0) -> LabelRecord:
    return LabelRecord(id, label, NOON + timedelta(seconds=seconds))


def decoded(*texts: str) -> pa.Table:
    return decode_inputs(pa.chunked_array([pa.array(texts, pa.string())]), COLUMNS)


@given(st.lists(ROWS, max_size=5))
def test_what_was_sent_is_read_back(rows: list[dict[str, object]]) -> None:
    texts = [json.dumps(row, default=datetime.isoformat, ensure_ascii=False) for row in rows]
    assert decoded(*texts).to_pylist() == rows


def test_columns_are_typed_as_in_a_data_version() -> None:
    assert schema_columns(decoded("{}").schema) == COLUMNS
    assert schema_columns(decoded().schema) == COLUMNS
    assert decoded("{}").to_pylist() == [dict.fromkeys(column.name for column in COLUMNS)]


def test_other_spellings_of_a_value_are_read() -> None:
    rows = decoded(
        '{"amount": 3, "size": 3.0, "seen": "2026-01-31"}', '{"seen": "2026-01-31T13:00:00+01:00"}'
    )
    first, second = rows.to_pylist()
    assert (first["amount"], first["size"], first["seen"]) == (3.0, 3, datetime(2026, 1, 31, tzinfo=UTC))
    assert second["seen"] == NOON


@pytest.mark.parametrize(
    "text",
    [
        '{"amount": true, "size": true, "member": 1, "colour": 1, "seen": 5}',
        '{"amount": "1", "size": 1.5, "member": "true", "colour": ["x"], "seen": "today"}',
        '{"amount": {}, "size": 9223372036854775808, "seen": "0001-01-01T00:00:00+05:00"}',
        f'{{"amount": 1{"0" * 400}, "size": 1{"0" * 400}}}',
    ],
)
def test_a_value_of_another_kind_is_missing(text: str) -> None:
    good = '{"amount": 1.5, "size": 2, "member": true, "colour": "red", "seen": "2026-01-31T12:00:00Z"}'
    whole = {"amount": 1.5, "size": 2, "member": True, "colour": "red", "seen": NOON}
    assert decoded(good, text).to_pylist() == [whole, dict.fromkeys(whole)]


@pytest.mark.parametrize("garbage", ["1e400", "[" * 900 + "]" * 900])
def test_garbage_in_a_column_that_nobody_uses_costs_no_row(garbage: str) -> None:
    rows = decoded('{"size": 1}', f'{{"unused": {garbage}, "size": 2}}')
    assert rows["size"].to_pylist() == [1, 2]


def test_what_is_no_object_is_a_row_without_values() -> None:
    assert decoded('{"size": 1}', "oops", "1", '{"size": 2}, {"size": 3}')["size"].to_pylist() == [
        1,
        None,
        None,
        None,
    ]


def test_an_integer_beyond_float64_becomes_the_nearest_number() -> None:
    assert decoded('{"amount": 9007199254740993}')["amount"].to_pylist() == [2.0**53]


@pytest.mark.parametrize("name", ['a "b"', "a\\b", "line\nbreak", "ünïcode", "", "c0"])
def test_a_column_may_have_any_name(name: str) -> None:
    columns = (Column("c1", "integer", True), Column(name, "number", True))
    texts = [json.dumps({name: 1.5, "c1": 2}), json.dumps({"c1": 3, "other": "x"}), "{}"]
    rows = decode_inputs(pa.chunked_array([texts]), columns)
    assert rows[name].to_pylist() == [1.5, None, None]
    assert rows["c1"].to_pylist() == [2, 3, None]


def test_very_many_columns_are_read() -> None:
    columns = tuple(Column(f"x{i}", "number", True) for i in range(300))
    rows = decode_inputs(
        pa.chunked_array([[json.dumps({f"x{i}": i for i in reversed(range(300))})]]), columns
    )
    assert [rows[column.name][0].as_py() for column in columns] == list(range(300))


def test_of_a_column_twice_in_a_row_the_last_counts() -> None:
    assert decoded('{"size": 1, "size": 2}')["size"].to_pylist() == [2]


def test_many_rows_keep_their_order() -> None:
    rows = decoded(*(f'{{"size": {i}}}' for i in range(20_001)))
    assert rows["size"].to_pylist() == list(range(20_001))


def test_the_last_answer_to_an_id_counts() -> None:
    answers = [predicted("a", 5), predicted("b", 1), predicted("a", 2), predicted("c", 0)]
    kept = answered_once(prediction_table(answers))
    found = [(row["id"], row["at"]) for row in kept.to_pylist()]
    assert found == [
        ("c", NOON),
        ("b", NOON + timedelta(seconds=1)),
        ("a", NOON + timedelta(seconds=5)),
    ]


def test_the_last_label_of_an_id_counts_and_of_equal_times_the_one_further_down() -> None:
    kept = last_labels(
        label_table([labelled("a", 1, 9), labelled("a", 2, 3), labelled("b", 3), labelled("b", 4)])
    )
    assert dict(zip(kept["prediction_id"].to_pylist(), kept["label"].to_pylist(), strict=True)) == {
        "a": "1",
        "b": "4",
    }


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), unique=True), st.randoms())
def test_the_order_in_which_rows_arrive_does_not_matter(pairs: list[tuple[int, int]], random: Random) -> None:
    predictions = [predicted(str(id), at) for id, at in pairs]
    labels = [labelled(str(id), at, at) for id, at in pairs if id % 2]
    joined = labelled_predictions(prediction_table(predictions), label_table(labels))
    random.shuffle(predictions)
    random.shuffle(labels)
    again = labelled_predictions(prediction_table(predictions), label_table(labels))
    key = [("at", "ascending"), ("id", "ascending")]
    assert joined.sort_by(key).equals(again.sort_by(key))
    newest = {id: max(at for other, at in pairs if other == id) for id, _ in pairs if id % 2}
    assert {row["id"]: int(row["label"]) for row in joined.to_pylist()} == {
        str(id): at for id, at in newest.items()
    }


LABEL = Column("outcome", "category", False)


def test_live_rows_are_labelled_rows_in_order_of_time() -> None:
    predictions = prediction_table(
        [
            predicted("late", 9, {"size": 2, "extra": 0}),
            predicted("early", 1, {"size": 1}),
            predicted("open", 2),
        ]
    )
    labels = label_table(
        [labelled("early", "bad", 60), labelled("late", "good", 30), labelled("gone", "bad")]
    )
    rows = live_rows(predictions, labels, (COLUMNS[1], LABEL), label="outcome")
    assert rows.to_pylist() == [
        {
            "size": size,
            "outcome": outcome,
            "_id": id,
            "_at": NOON + timedelta(seconds=at),
            "_version": "v1",
            "_label_at": NOON + timedelta(seconds=label_at),
        }
        for size, outcome, id, at, label_at in [(1, "bad", "early", 1, 60), (2, "good", "late", 9, 30)]
    ]


def test_a_label_in_a_request_is_no_label() -> None:
    predictions = prediction_table(
        [predicted("a", 0, {"outcome": "bad"}), predicted("b", 0, {"outcome": "bad"})]
    )
    rows = live_rows(predictions, label_table([labelled("a", "good")]), (LABEL,), label="outcome")
    assert rows["outcome"].to_pylist() == ["good"]


def test_the_event_time_is_what_the_request_says_or_when_it_was_answered() -> None:
    predictions = prediction_table([predicted("a", 0, {"seen": "2020-02-02T00:00:00Z"}), predicted("b", 7)])
    labels = label_table([labelled("a", "good"), labelled("b", "bad")])
    rows = live_rows(predictions, labels, (COLUMNS[4], LABEL), label="outcome", time="seen")
    times = [datetime(2020, 2, 2, tzinfo=UTC), NOON + timedelta(seconds=7)]
    assert rows["seen"].to_pylist() == times


@pytest.mark.parametrize(
    ("kind", "labels", "kept"),
    [
        ("number", [1, 2.5, "x", True], [1.0, 2.5]),
        ("integer", [1, 2.0, 2.5, True], [1, 2]),
        ("boolean", [True, 1, "true"], [True]),
        ("category", ["a", 1], ["a"]),
    ],
)
def test_a_label_of_another_kind_is_left_out(kind: str, labels: list[Answer], kept: list[Answer]) -> None:
    column = Column.from_json({"name": "outcome", "kind": kind, "nullable": False})
    predictions = prediction_table([predicted(str(i), i) for i in range(len(labels))])
    table = label_table([labelled(str(i), label) for i, label in enumerate(labels)])
    assert live_rows(predictions, table, (column,), label="outcome")["outcome"].to_pylist() == kept


def test_nothing_captured_gives_an_empty_table_of_the_same_columns() -> None:
    rows = live_rows(prediction_table([]), label_table([]), (*COLUMNS, LABEL), label="outcome", time="seen")
    assert rows.num_rows == 0
    assert schema_columns(rows.schema)[:6] == tuple(Column(c.name, c.kind, True) for c in (*COLUMNS, LABEL))


def test_a_label_or_time_that_is_no_column_is_said() -> None:
    with pytest.raises(SchemaError, match="no column 'outcom'; did you mean 'outcome'"):
        live_rows(prediction_table([]), label_table([]), (LABEL,), label="outcom")
    with pytest.raises(SchemaError, match="no column 'when'"):
        live_rows(prediction_table([]), label_table([]), (LABEL,), label="outcome", time="when")
