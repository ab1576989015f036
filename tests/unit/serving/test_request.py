from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.schema import Column
from raypipe.serving.request import Hints, RefusedRequest, RequestSchema, RowError, TooLarge

COLUMNS = (
    Column("amount", "number", True),
    Column("size", "integer", False),
    Column("colour", "category", False),
    Column("member", "boolean", False),
    Column("seen", "timestamp", True),
)
SCHEMA = RequestSchema(COLUMNS, ("note",))
ROW = {"amount": 1.5, "size": 3, "colour": "red", "member": True, "seen": "2026-01-31T12:00:00Z"}


def read(row: object, schema: RequestSchema = SCHEMA) -> object:
    return schema.row(msgspec.Raw(row if isinstance(row, bytes) else json.dumps(row).encode()), Hints())


def messages(row: object) -> dict[str | None, str]:
    error = read(row)
    assert isinstance(error, RowError)
    return {one.column: one.message for one in error.fields}


def changed(**values: object) -> bytes:
    """Return a valid row with some values replaced; bytes go in as they are."""
    parts = {name: json.dumps(value).encode() for name, value in ROW.items()}
    parts |= {k: v if isinstance(v, bytes) else json.dumps(v).encode() for k, v in values.items()}
    return b"{" + b",".join(json.dumps(name).encode() + b":" + value for name, value in parts.items()) + b"}"


def test_a_row_becomes_values_of_the_columns_kinds() -> None:
    assert read(ROW) == {**ROW, "seen": datetime(2026, 1, 31, 12, tzinfo=UTC)}


def test_nullable_columns_may_be_left_out_or_null() -> None:
    short = {"size": 3, "colour": "red", "member": True}
    assert (
        read(short) == read({**ROW, "amount": None, "seen": None}) == short | {"amount": None, "seen": None}
    )


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("amount", b"7", 7.0),
        ("amount", b"1e300", 1e300),
        ("amount", b"123456789012345678901234567890", 123456789012345678901234567890.0),
        ("size", b"-9223372036854775808", -(2**63)),
        ("size", b"9223372036854775807", 2**63 - 1),
        ("size", b"3.0", 3),
        ("size", b"1e5", 100_000),
        ("colour", '"Füße \\u0000 \\ud83d\\ude00"'.encode(), "Füße \0 😀"),
        ("colour", b'""', ""),
        ("seen", b'"2026-01-31"', datetime(2026, 1, 31, tzinfo=UTC)),
        ("seen", b'"2026-01-31T12:00:00"', datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (
            "seen",
            b'"2026-01-31T12:00:00.123456789+02:00"',
            datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC),
        ),
        ("note", b'{"anything": [1, 2]}', None),
    ],
)
def test_values_that_fit(column: str, value: bytes, expected: object) -> None:
    row = read(changed(**{column: value}))
    assert isinstance(row, dict)
    assert row.get(column) == expected


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("amount", b"true", "amount must be a finite number or null. Got true."),
        ("amount", b'"1"', 'amount must be a finite number or null. Got "1".'),
        ("amount", b"1e999", "amount must be a finite number or null. Got 1e999."),
        ("amount", b"-1e999", "amount must be a finite number or null. Got -1e999."),
        ("amount", b"9" * 5000, "amount must be a finite number or null. Got 9999"),
        ("amount", b"[1]", "amount must be a finite number or null. Got [1]."),
        ("size", b"1.5", "size must be a whole number of at most 64 bits. Got 1.5."),
        ("size", b"9223372036854775808", "size must be a whole number of at most 64 bits. Got 92233"),
        ("size", b"-9223372036854775809", "size must be a whole number of at most 64 bits. Got -92233"),
        ("size", b"1e19", "size must be a whole number of at most 64 bits. Got 1e19."),
        ("size", b"9" * 5000, "size must be a whole number of at most 64 bits. Got 9999"),
        ("size", b"true", "size must be a whole number of at most 64 bits. Got true."),
        ("size", b"null", "size must be a whole number of at most 64 bits. Got null."),
        ("colour", b"3", "colour must be text. Got 3."),
        ("colour", b"null", "colour must be text. Got null."),
        ("colour", b'"\xff"', "colour must be text. Got"),
        ("member", b"1", "member must be true or false. Got 1."),
        ("member", b'"true"', 'member must be true or false. Got "true".'),
        ("seen", b'"yesterday"', "seen must be an ISO 8601 time such as"),
        ("seen", b"1700000000", "seen must be an ISO 8601 time such as"),
        ("seen", b'"0001-01-01T00:00:00+23:00"', "seen must be an ISO 8601 time such as"),
    ],
)
def test_values_that_do_not_fit(column: str, value: bytes, rule: str) -> None:
    found = messages(changed(**{column: value}))
    assert list(found) == [column]
    assert found[column].startswith(rule)
    assert len(found[column]) < 300


def test_all_errors_of_a_row_are_told() -> None:
    found = messages({"amount": "x", "size": 1.5, "colr": "red", "member": True})
    assert found["colr"] == "the model has no column 'colr'; did you mean 'colour'?"
    assert found["colour"] == "colour is missing; it must be text."
    assert set(found) == {"amount", "size", "colr", "colour"}


@pytest.mark.parametrize("row", [b"5", b"null", b'"x"', b"[]", b"true"])
def test_a_row_must_be_an_object(row: bytes) -> None:
    assert messages(row) == {None: f"a row must be an object of columns. Got {row.decode()}."}


def test_of_two_equal_keys_the_last_counts_on_both_paths() -> None:
    fast = changed()[:-1] + b',"size":4}'
    slow = changed()[:-1] + b',"size":4.0}'
    assert read(fast) == read(slow) == {**read(ROW), "size": 4}  # type: ignore[dict-item]


def test_names_that_cannot_be_compiled_are_read_column_by_column() -> None:
    schema = RequestSchema((Column('a"b', "number", False), Column("c\\d\n", "category", True)))
    assert read({'a"b': 1}, schema) == {'a"b': 1.0, "c\\d\n": None}
    assert isinstance(read({}, schema), RowError)


def test_many_unknown_columns_cost_a_bounded_number_of_guesses_and_errors() -> None:
    body = json.dumps({"rows": [{f"colour{i}-{j}": 1 for j in range(100)} for i in range(100)]}).encode()
    rows = SCHEMA.parse(body, 1000).rows
    assert all(isinstance(row, RowError) and len(row.fields) == 20 for row in rows)
    guessed = [
        one for row in rows if isinstance(row, RowError) for one in row.fields if "mean" in one.message
    ]
    assert len(guessed) <= 50


def test_a_request_is_cut_into_rows() -> None:
    body = json.dumps({"rows": [ROW, {"size": "x"}], "ids": ["a", "b"]}).encode()
    request = SCHEMA.parse(body, 10)
    assert request.ids == ["a", "b"]
    assert isinstance(request.rows[0], dict)
    assert isinstance(request.rows[1], RowError)
    assert json.loads(bytes(request.received[0])) == ROW


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "is not JSON in UTF-8"),
        (b"{", "is not JSON in UTF-8"),
        (b'{"rows": [{"a": NaN}]}', "NaN and Infinity are no JSON numbers; send null"),
        (b'{"rows": [{"a": -Infinity}]}', "NaN and Infinity are no JSON numbers; send null"),
        (b'{"rows": [{"a": "\\ud800"}]}', "is half of a character"),
        (b'{"rows": [\xff]}', "is not JSON in UTF-8"),
        (b'{"rows": [{"note": "\xff"}]}', "is not JSON in UTF-8: 'utf-8' codec can't decode byte 0xff"),
        (b'{"rows": [{"note": "\xed\xa0\x80"}]}', "is not JSON in UTF-8"),
        ('{"rows": [{}]}'.encode("utf-16"), "is not JSON in UTF-8"),
        (b'{"rows": []}', r"rows must have one row or more\. Got none"),
        (b'\xef\xbb\xbf{"rows": []}', "is not JSON in UTF-8"),
        (b'{"rows": []} x', "trailing characters"),
        (b"[]", "Expected `object`, got `array`"),
        (b"5", 'the body must be {"rows"'),
        (b'{"row": []}', "unknown field `row`"),
        (b"{}", "missing required field `rows`"),
        (b'{"rows": {}}', "Expected `array`, got `object`"),
        (b'{"rows": [], "ids": [1]}', "Expected `str`, got `int`"),
        (b'{"rows": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"rows": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}", "nested too deeply"),
        (b'{"rows": [{}], "ids": []}', "Got 0 ids for 1 rows"),
        (b'{"rows": [{}, {}], "ids": ["a", "a"]}', "Got 'a' more than once"),
        (b'{"rows": [{}], "ids": [""]}', r"1 to 200 characters. Got 0 in ids\[0\]"),
        (b'{"rows": [{}], "ids": ["' + b"x" * 201 + b'"]}', "1 to 200 characters. Got 201"),
    ],
)
def test_bodies_that_are_refused(body: bytes, rule: str) -> None:
    with pytest.raises(RefusedRequest, match=rule) as caught:
        SCHEMA.parse(body, 10)
    assert caught.value.status == 400


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(TooLarge, match=r"at most 2 rows \(serving\.max_rows\)\. Got 3") as caught:
        SCHEMA.parse(b'{"rows": [1, 2, 3]}', 2)
    assert caught.value.status == 413


numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
valid_rows = st.fixed_dictionaries(
    {
        "size": st.integers(-(2**63), 2**63 - 1),
        "colour": st.text(st.characters(exclude_categories=["Cs"])),
        "member": st.booleans(),
    },
    optional={
        "amount": numbers,
        "seen": st.one_of(st.none(), st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)),
        "note": st.integers(),
    },
)


@given(valid_rows)
def test_both_paths_read_the_same(row: dict[str, object]) -> None:
    raw = msgspec.Raw(json.dumps(row).encode())
    fast = SCHEMA._fast(raw)
    assert fast == SCHEMA._row_by_columns(raw, Hints()) == read(row)
    assert [type(value) for value in fast.values()] == [type(value) for value in read(row).values()]  # type: ignore[attr-defined]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.one_of(
        st.binary(max_size=200),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.lists(st.dictionaries(st.sampled_from([*ROW, "note", "other"]), json_values), max_size=4).map(
            lambda rows: json.dumps({"rows": rows}).encode()
        ),
    )
)
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        request = SCHEMA.parse(body, 100)
    except RefusedRequest as error:
        assert str(error)
        return
    assert all(isinstance(row, RowError) or set(row) == set(ROW) for row in request.rows)
