"""Whose rows are meant: a key is found however its value is spelled, and nobody else's is."""

from __future__ import annotations

import hmac
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError
from raypipe.data.erasure.people import PREDICTION, Key, People, key_of, keys_in

SECRET = b"s" * 64


def people(*keys: str, capture_key: bytes = b"") -> People:
    return People.of(map(key_of, keys), SECRET, capture_key)


@pytest.mark.parametrize(
    ("value", "column", "found"),
    [
        ("42", ["42", "042", None], [True, False, False]),
        ("42", pa.array([42, 43, None], pa.int64()), [True, False, False]),
        ("042", pa.array([42.0, 42.5, float("nan")]), [True, False, False]),
        ("1e3", pa.array([1000, 1001], pa.int64()), [True, False]),
        ("0.1", pa.array([0.1, float("inf")]), [True, False]),
        ("-0", pa.array([0.0, 1.0]), [True, False]),
        ("true", pa.array([True, False, None]), [True, False, False]),
        ("1", pa.array([True, False]), [False, False]),
        ("nan", pa.array([float("nan")]), [False]),
        ("x", pa.nulls(2), [False, False]),
        ("x", pa.array([], pa.string()), []),
        (str(2**70), [str(2**70)], [True]),
    ],
)
def test_a_value_is_found_in_a_column_of_any_kind(value: str, column: object, found: list[bool]) -> None:
    assert people(f"k={value}").mask(pa.table({"k": column})).tolist() == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"k": "42"}', True),
        ('{"k": 42}', True),
        ('{"k": 42.0, "other": 1}', True),
        (r'{"\u006b": "42"}', True),
        ('{"k": "4"}', False),
        ('{"other": 42}', False),
        ('{"k": [42]}', False),
        ("[42]", False),
        ("not JSON", False),
        (None, False),
    ],
)
def test_a_value_is_found_in_a_row_as_json(text: str | None, found: bool) -> None:
    assert people("k=42").in_texts(pa.chunked_array([pa.array([text], pa.string())])).tolist() == [found]


@pytest.mark.parametrize(("value", "plain"), [("Ann", b"Ann"), ("12.0", b"12"), ("1.5", b"1.5")])
def test_a_value_that_was_hashed_in_its_place_is_found(value: str, plain: bytes) -> None:
    key = b"c" * 64
    row = json.dumps({"k": {"hash": hmac.digest(key, plain, "sha256").hex()}})
    texts = pa.chunked_array([[row]])
    assert people(f"k={value}", capture_key=key).in_texts(texts).tolist() == [True]
    assert people(f"k={value}").in_texts(texts).tolist() == [False]


@given(st.lists(st.integers(-5, 5)), st.sets(st.integers(-5, 5)))
def test_those_that_are_named_are_found_and_no_others(values: list[int], named: set[int]) -> None:
    mask = people(*(f"k={one}" for one in named)).mask(pa.table({"k": pa.array(values, pa.int64())}))
    assert mask.tolist() == [one in named for one in values]


def test_a_column_means_that_column_alone() -> None:
    rows = pa.table({"a": ["x", "y"], "b": ["y", "x"], PREDICTION: ["p", "q"]})
    assert people("a=x").mask(rows).tolist() == [True, False]
    assert (people("a=x") | People.of([Key(PREDICTION, "q")], SECRET)).mask(rows).tolist() == [True, True]


def test_neither_a_key_nor_the_secret_is_shown() -> None:
    shown = repr(people("mail=ann@example.org"))
    assert "ann" not in shown and "sss" not in shown


def test_keys_are_read_a_line_each() -> None:
    assert keys_in("mail=a@b.c\n\n id =x=y\n") == (Key("mail", "a@b.c"), Key("id", "x=y"))


@pytest.mark.parametrize("text", ["mail", "=x", "mail=", ""])
def test_what_is_no_key_is_refused_without_being_said_again(text: str) -> None:
    with pytest.raises(ConfigError, match="a key must be COLUMN=VALUE"):
        key_of(text)
    with pytest.raises(ConfigError, match=r"line 2 of the keys: a key must be"):
        keys_in(f"a=b\n{text or '='}\n")
