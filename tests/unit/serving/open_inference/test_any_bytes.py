"""Whatever comes is answered or refused, never an error of the endpoint's own, and only answers are kept."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.serving.endpoint import Endpoint
from raypipe.serving.open_inference.datatypes import BYTES, NUMPY
from raypipe.serving.open_inference.message import InputTensor
from raypipe.serving.open_inference.protocol import OpenInference
from raypipe.serving.open_inference.routes import Route
from raypipe.serving.open_inference.tensors import read_elements, to_bytes
from raypipe.serving.reply import Reply
from tests.unit.serving.open_inference.bodies import ROWS, as_bytes, as_json, tensors

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
BINARY, N_JSON = as_bytes(tensors())
JSON = as_json(tensors())
REFUSALS = {400, 413, 422}
counts = st.sampled_from([-1, 0, 1, 3, 24, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**400])
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | counts | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


def asked(endpoint: Endpoint, body: bytes, n_json: bytes | None) -> Reply:
    headers = {} if n_json is None else {b"inference-header-content-length": n_json}
    return endpoint.predict(OpenInference(endpoint).inference(Route("infer", "tiny"), headers, body))


def check(endpoint: Endpoint, capture: Any, body: bytes, n_json: bytes | None) -> None:
    before = len(capture.rows)
    reply = asked(endpoint, body, n_json)
    assert reply.status == 200 or reply.status in REFUSALS
    n_kept = len(capture.rows) - before
    assert n_kept == (len(json.loads(reply.body)["parameters"]["ids"]) if reply.status == 200 else 0)


@SHARED
@given(
    start=st.integers(0, len(BINARY)),
    n_bytes=st.integers(0, 12),
    by=st.binary(max_size=12),
    off=st.integers(-3, 3),
)
def test_a_body_with_other_bytes(
    endpoint: Endpoint, capture: Any, start: int, n_bytes: int, by: bytes, off: int
) -> None:
    body = BINARY[:start] + by + BINARY[start + n_bytes :]
    moved = len(by) - n_bytes if start < N_JSON else 0
    for n_json in (N_JSON, N_JSON + moved, N_JSON + off):
        check(endpoint, capture, body, b"%d" % n_json)


@SHARED
@given(
    body=st.binary(max_size=60), n_json=st.none() | st.binary(max_size=4) | counts.map(lambda n: b"%d" % n)
)
def test_any_bytes_at_all(endpoint: Endpoint, capture: Any, body: bytes, n_json: bytes | None) -> None:
    check(endpoint, capture, body, n_json)


@SHARED
@given(
    place=st.integers(0, 4),
    key=st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
    value=anything
    | st.lists(counts, max_size=3)
    | st.sampled_from([*NUMPY, BYTES])
    | st.fixed_dictionaries({"binary_data_size": counts}),
    tail=st.sampled_from([b"", b"\0" * 24, b"\x03\0\0\0red" * 3]),
)
def test_a_tensor_with_another_part(
    endpoint: Endpoint, capture: Any, place: int, key: str, value: Any, tail: bytes
) -> None:
    inputs = tensors()
    inputs[place][key] = value
    if key == "parameters":
        del inputs[place]["data"]
    head = as_json(inputs)
    check(endpoint, capture, head + tail, b"%d" % len(head))


@pytest.mark.parametrize("depth", [900, 200_000])
def test_deep_nesting(endpoint: Endpoint, capture: Any, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for body in (deep, JSON.replace(b"12.5", deep), JSON[:-1] + b', "x": ' + deep + b"}"):
        check(endpoint, capture, body, None)


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e5000", b"9" * 5000 + b".5"])
def test_numbers_of_any_length(endpoint: Endpoint, capture: Any, number: bytes) -> None:
    for part in (b"12.5", b"[3, 1]", b"-4", b"true"):
        assert part in JSON
        body = JSON.replace(part, number, 1)
        assert asked(endpoint, body, None).status in REFUSALS
    assert capture.rows == []


finite = st.floats(allow_nan=False, allow_infinity=False)
by_datatype: dict[str, st.SearchStrategy[Any]] = {
    "FP64": finite,
    "FP32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "FP16": st.floats(width=16, allow_nan=False, allow_infinity=False),
    "BOOL": st.booleans(),
    BYTES: st.text(st.characters(exclude_categories=["Cs"])),
    **{
        name: st.integers(-(2 ** (int(name[3:]) - 1)), 2 ** (int(name[3:]) - 1) - 1)
        for name in NUMPY
        if name.startswith("INT")
    },
    **{name: st.integers(0, 2 ** int(name[4:]) - 1) for name in NUMPY if name.startswith("UINT")},
}


@pytest.mark.parametrize("datatype", [*NUMPY, BYTES])
@settings(max_examples=30)
@given(data=st.data())
def test_bytes_and_json_are_read_alike(datatype: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(by_datatype[datatype], min_size=1, max_size=5))
    tensor = InputTensor("x", [len(values)], datatype, data=msgspec.Raw(msgspec.json.encode(values)))
    binary = memoryview(to_bytes(datatype, values))
    assert read_elements(tensor, None, len(values)) == values
    assert read_elements(tensor, binary, len(values)) == values


def test_the_bodies_here_are_answered(endpoint: Endpoint, capture: Any) -> None:
    assert asked(endpoint, BINARY, b"%d" % N_JSON).status == asked(endpoint, JSON, None).status == 200
    assert len(capture.rows) == 2 * len(ROWS)
