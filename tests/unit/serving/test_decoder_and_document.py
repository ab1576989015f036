"""The decoder takes what the OpenAPI document says and nothing else; `jsonschema` judges what that is.

Two rules cannot be said there, and are kept out of what is made here: as many ids as rows, and which texts
are times.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.serving.config import ServingSettings
from raypipe.serving.feedback import Label, parse_feedback
from raypipe.serving.openapi import openapi
from raypipe.serving.request import RefusedRequest, RowError
from raypipe.serving.swap import LoadedVersion, VersionHolder

MAX_ROWS = 3
GOOD: dict[str, Any] = {"size": 3, "colour": "red", "member": True}
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
edges = st.sampled_from([2**63 - 1, -(2**63), float(-(2**63)), 3.0])
beyond = st.sampled_from([2**63, -(2**63) - 1, 2.0**63, -(2**64), 0.5])
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**308, 10**309, -(10**400), 3.0, -0.0, 1e300]
    ),
)
times = st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.25+01:00"])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)
not_text = anything.filter(lambda value: not isinstance(value, str))
fitting = {
    "amount": numbers | st.none(),
    "size": st.integers(-(2**63), 2**63 - 1) | edges,
    "colour": texts,
    "member": st.booleans(),
    "seen": times | st.none(),
    "note": anything,
}
loose = {
    **{name: anything | fitting[name] for name in ("amount", "colour", "member", "note")},
    "size": anything | beyond | edges,
    "seen": not_text | times,
    "other": anything,
}
rows = st.one_of(
    st.fixed_dictionaries(
        {name: fitting[name] for name in GOOD},
        optional={name: fitting[name] for name in ("amount", "seen", "note")},
    ),
    st.fixed_dictionaries({}, optional=loose).map(lambda row: {**GOOD, **row}),
    st.fixed_dictionaries({}, optional=loose),
    anything,
)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=201) | st.sampled_from(
    ["a", "b", "a\r\nb: c"]
)


@pytest.fixture
def loaded(versions: VersionHolder) -> LoadedVersion:
    return versions.current.loaded


def is_valid(loaded: LoadedVersion, name: str, body: object) -> bool:
    document = json.loads(json.dumps(openapi("tiny", loaded, ServingSettings(max_rows=MAX_ROWS))))
    judge = jsonschema.Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})
    return bool(judge.is_valid(body))


def is_taken(loaded: LoadedVersion, body: object) -> bool:
    try:
        request = loaded.schema.parse(json.dumps(body).encode(), MAX_ROWS)
    except RefusedRequest:
        return False
    return not any(isinstance(row, RowError) for row in request.rows)


@SHARED
@given(row=rows)
def test_rows(loaded: LoadedVersion, row: object) -> None:
    body = {"rows": [row]}
    assert is_taken(loaded, body) == is_valid(loaded, "PredictRequest", body)


@SHARED
@given(
    body=st.integers(0, MAX_ROWS + 1).flatmap(
        lambda n: st.fixed_dictionaries(
            {"rows": st.just([GOOD] * n)},
            optional={"ids": st.none() | st.lists(ids, min_size=n, max_size=n), "id": texts},
        )
    )
    | anything
)
def test_bodies(loaded: LoadedVersion, body: object) -> None:
    assert is_taken(loaded, body) == is_valid(loaded, "PredictRequest", body)


@SHARED
@given(
    body=st.fixed_dictionaries(
        {
            "labels": st.lists(
                st.fixed_dictionaries(
                    {"id": ids}, optional={"label": st.just("good") | anything, "x": anything}
                ),
                max_size=MAX_ROWS + 1,
            )
        }
    )
    | anything
)
def test_labels(loaded: LoadedVersion, body: object) -> None:
    try:
        found = parse_feedback(json.dumps(body).encode(), loaded.predictor.task, MAX_ROWS)
        taken = all(isinstance(one, Label) for one in found)
    except RefusedRequest:
        taken = False
    assert taken == is_valid(loaded, "FeedbackRequest", body)


VALID = json.dumps({"rows": [{**GOOD, "amount": 1.5, "seen": "2026-01-31T12:00:00Z"}], "ids": ["a"]}).encode()


@SHARED
@given(
    start=st.integers(0, len(VALID)),
    length=st.integers(0, 8),
    put=st.binary(max_size=8)
    | st.sampled_from([b"NaN", b"1e999", b'"\\ud800"', b"[[[[", b"\x00", b"-0", b"{}"]),
)
def test_a_body_that_was_damaged_is_read_as_json_reads_it_or_refused(
    loaded: LoadedVersion, start: int, length: int, put: bytes
) -> None:
    """Python's own reader of JSON is the judge of what the damage made, where it still is JSON."""
    body = VALID[:start] + put + VALID[start + length :]
    try:
        request = loaded.schema.parse(body, MAX_ROWS)
    except RefusedRequest as error:
        assert str(error)
        assert "\n" not in str(error)
        return
    value = json.loads(body)
    for row, sent in zip(request.rows, value["rows"], strict=True):
        if not isinstance(row, RowError):
            given_ = {name: cell for name, cell in row.items() if name != "seen"}
            assert given_ == {name: sent.get(name) for name in given_}
    assert request.ids == value.get("ids")
