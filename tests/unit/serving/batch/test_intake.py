from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from raypipe.core.errors import SchemaError
from raypipe.serving.batch.intake import take_lines, take_table
from raypipe.serving.request import RequestSchema

GOOD = {
    "amount": 1.5,
    "size": 3,
    "colour": "red",
    "member": True,
    "seen": datetime(2026, 1, 31, 12, tzinfo=UTC),
}


def table(**columns: list[object]) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({**{name: [value] * n for name, value in GOOD.items()}, **columns})


@pytest.mark.parametrize(
    ("column", "cells", "values"),
    [
        ("amount", [1, None, 3], [1.0, None, 3.0]),
        ("amount", [True, False, None], [1.0, 0.0, None]),
        ("amount", [float("nan"), 2.5, -0.0], [None, 2.5, -0.0]),
        ("amount", ["1e3", "-7", None], [1000.0, -7.0, None]),
        ("amount", [Decimal("1.25"), None, Decimal("2")], [1.25, None, 2.0]),
        ("amount", [None, None, None], [None, None, None]),
        ("size", [3.0, -4.0, 2.0**53], [3, -4, 2**53]),
        ("size", ["3", "4.0", "-5"], [3, 4, -5]),
        ("size", [True, False, True], [1, 0, 1]),
        ("colour", [1, 2, 3], ["1", "2", "3"]),
        ("colour", [True, False, True], ["true", "false", "true"]),
        ("member", [1, 0, 1], [True, False, True]),
        ("member", ["true", "False", "TRUE"], [True, False, True]),
        (
            "seen",
            [datetime(2026, 1, 1), None, datetime(2026, 1, 2, 3)],
            [datetime(2026, 1, 1, tzinfo=UTC), None, datetime(2026, 1, 2, 3, tzinfo=UTC)],
        ),
        ("seen", [date(2026, 1, 1)] * 3, [datetime(2026, 1, 1, tzinfo=UTC)] * 3),
        (
            "seen",
            ["2026-01-01", None, "2026-01-01T02:00:00+02:00"],
            [datetime(2026, 1, 1, tzinfo=UTC), None, datetime(2026, 1, 1, tzinfo=UTC)],
        ),
    ],
)
def test_cells_are_taken_as_their_kind(
    schema: RequestSchema, column: str, cells: list[object], values: list[object]
) -> None:
    taken = take_table(table(**{column: cells}), schema, (), 0)
    assert taken.rejected == []
    assert taken.inputs[column].to_pylist() == values
    assert list(taken.places) == [0, 1, 2]


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("amount", [1.0, float("inf"), 2.0], "amount must be a finite number or null. Got 1e999."),
        ("amount", ["1", "abc", "2"], 'amount must be a finite number or null. Got "abc".'),
        ("size", [1, None, 2], "size is missing; it must be a whole number of at most 64 bits."),
        ("size", [1.0, 1.5, 2.0], "size must be a whole number of at most 64 bits. Got 1.5."),
        ("size", [1.0, float("nan"), 2.0], "size is missing; it must be a whole number of at most 64 bits."),
        (
            "size",
            [1.0, 2.0**63, 2.0],
            "size must be a whole number of at most 64 bits. Got 9.223372036854776e+18.",
        ),
        ("member", [1, 2, 0], "member must be true or false. Got 2."),
        ("colour", ["a", None, "b"], "colour is missing; it must be text."),
        (
            "seen",
            ["2026-01-01", "soon", None],
            'seen must be an ISO 8601 time such as "2026-01-31T12:00:00Z" or null. Got "soon".',
        ),
    ],
)
def test_a_bad_cell_costs_its_row_and_is_told_in_the_endpoints_words(
    schema: RequestSchema, column: str, cells: list[object], message: str
) -> None:
    taken = take_table(table(**{column: cells}), schema, (column,), 100)
    assert list(taken.places) == [100, 102]
    assert taken.inputs.num_rows == taken.kept.num_rows == 2
    [bad] = taken.rejected
    assert (bad.row, bad.errors[0].column, bad.errors[0].message) == (101, column, message)


def test_a_spelling_that_only_the_decoder_reads_is_taken_in_its_place(schema: RequestSchema) -> None:
    seen = ["2026-01-01", "20260102T030405Z", "soon", "2026-01-04"]
    taken = take_table(table(seen=seen, amount=[1.0, 2.0, 3.0, 4.0]), schema, ("amount",), 0)
    assert list(taken.places) == [0, 1, 3]
    assert taken.inputs["amount"].to_pylist() == taken.kept["amount"].to_pylist() == [1.0, 2.0, 4.0]
    assert taken.inputs["seen"].to_pylist()[1] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_column_of_another_type_or_an_absent_one_is_refused_as_a_whole(schema: RequestSchema) -> None:
    with pytest.raises(
        SchemaError, match=r"'colour' must hold values of the kind category.* Got the type Float64"
    ):
        take_table(table(colour=[1.5]), schema, (), 0)
    with pytest.raises(SchemaError, match="'seen' must hold values of the kind timestamp"):
        take_table(table(seen=[5]), schema, (), 0)
    with pytest.raises(SchemaError, match="the rows lack the column 'size'"):
        take_table(table(amount=[1.0]).drop(["size"]), schema, (), 0)
    taken = take_table(table(size=[1]).drop(["amount", "seen"]), schema, (), 0)
    assert taken.inputs.select(["amount", "seen"]).to_pylist() == [{"amount": None, "seen": None}]


def test_lines_are_read_as_the_endpoint_reads_rows(schema: RequestSchema) -> None:
    lines = [
        b'{"size": 1, "colour": "red", "member": true, "id": "a"}',
        b"",
        b'{"size": "1", "colour": "red", "member": true, "id": "b"}',
        b'{"size": 1, "colour"',
        b"[1]",
        b'{"size": 3.0, "colour": "x", "member": false}',
    ]
    taken, n_rows = take_lines(lines, schema, ("id",), 10)
    assert n_rows == 5
    assert list(taken.places) == [10, 14]
    assert taken.inputs["size"].to_pylist() == [1, 3]
    assert taken.kept["id"].to_pylist() == ["a", None]
    assert [(bad.row, bad.errors[0].message) for bad in taken.rejected] == [
        (11, 'size must be a whole number of at most 64 bits. Got "1".'),
        (12, 'a row must be an object of columns. Got {"size": 1, "colour".'),
        (13, "a row must be an object of columns. Got [1]."),
    ]
    assert taken.rejected[1].received == '{"size": 1, "colour"'
