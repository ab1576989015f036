from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.core.home import PipelineHome
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.open_inference.protocol import OpenInference
from raypipe.serving.open_inference.routes import Route
from raypipe.serving.open_inference.rpc import fields
from raypipe.serving.open_inference.rpc.inference import RpcInference
from raypipe.serving.pointer import write_pointer
from raypipe.serving.reply import Reply
from raypipe.testing.serving import TINY_TASK, trained_tiny_model, write_tiny_version
from tests.unit.serving.open_inference.bodies import ROWS, as_json, tensors
from tests.unit.serving.open_inference.rpc.calls import Infer, raw, typed, with_ids

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
REFUSALS = {400, 404, 413, 422}


@pytest.fixture
def released(folder: PipelineHome) -> object:
    """Release a version whose answers depend on the rows."""
    pointer = write_tiny_version(folder, "v1", 1, model=trained_tiny_model("linear", TINY_TASK))
    write_pointer(folder.pointer, pointer)
    return pointer


def asked(endpoint: Endpoint, request: Any) -> Reply:
    body = request if isinstance(request, bytes) else request.SerializeToString()
    return endpoint.predict(RpcInference("tiny", body, OpenInference(endpoint).timed()))


def answered(endpoint: Endpoint, request: Any) -> Any:
    reply = asked(endpoint, request)
    assert reply.status == 200, reply.body
    return Infer.response.FromString(reply.body)


def told(endpoint: Endpoint, request: Any) -> tuple[int, str]:
    reply = asked(endpoint, request)
    return reply.status, json.loads(reply.body)["error"]["message"]


def over_http(endpoint: Endpoint, rows: Any) -> tuple[list[Any], list[Any]]:
    inference = OpenInference(endpoint).inference(Route("infer"), {}, as_json(tensors(rows)))
    prediction, probabilities = json.loads(endpoint.predict(inference).body)["outputs"]
    return prediction["data"], probabilities["data"]


@pytest.mark.parametrize("n_times", [1, 100])
@pytest.mark.parametrize("make", [typed, raw])
def test_the_numbers_are_those_of_http(
    endpoint: Endpoint, capture: Any, make: Callable[..., Any], n_times: int
) -> None:
    rows = ROWS * n_times
    expected = over_http(endpoint, rows)
    answer = answered(endpoint, make(rows))
    shapes = [(one.name, one.datatype, list(one.shape)) for one in answer.outputs]
    assert shapes == [("prediction", "BYTES", [len(rows), 1]), ("probabilities", "FP64", [len(rows), 2])]
    if make is typed:
        prediction = [one.decode() for one in answer.outputs[0].contents.bytes_contents]
        probabilities = list(answer.outputs[1].contents.fp64_contents)
        assert len(answer.raw_output_contents) == 0
    else:
        texts, numbers = answer.raw_output_contents
        probabilities = np.frombuffer(numbers, "<f8").tolist()
        prediction = []
        while texts:
            [length] = struct.unpack_from("<I", texts)
            prediction.append(texts[4 : 4 + length].decode())
            texts = texts[4 + length :]
    assert (prediction, probabilities) == expected
    kept = [json.loads(bytes(row.received)) for row in capture.rows]
    assert kept == [*rows, *rows]


def test_an_answer_says_what_answered(endpoint: Endpoint, capture: Any) -> None:
    request = with_ids(typed(), ["a", "b", "c"])
    request.id, request.model_version = "q", "v1"
    answer = answered(endpoint, request)
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "v1", "q")
    assert json.loads(answer.parameters["ids"].string_param) == ["a", "b", "c"]
    assert answer.parameters["role"].string_param == "champion"
    assert json.loads(answer.outputs[1].parameters["classes"].string_param) == ["bad", "good"]
    assert [row.id for row in capture.rows] == ["a", "b", "c"]


def test_outputs_may_be_chosen(endpoint: Endpoint) -> None:
    request = raw()
    request.outputs.add(name="probabilities")
    answer = answered(endpoint, request)
    assert [one.name for one in answer.outputs] == ["probabilities"]
    assert len(answer.raw_output_contents) == 1


def test_a_shape_without_the_column(endpoint: Endpoint) -> None:
    request = typed()
    for tensor in request.inputs:
        tensor.shape.pop()
    answered(endpoint, request)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("INT8", [3, -4, 8]), ("INT16", [3, -4, 8]), ("UINT8", [3, 0, 8]), ("UINT64", [3, 0, 8])],
)
def test_narrow_integers(endpoint: Endpoint, capture: Any, datatype: str, values: list[int]) -> None:
    rows = [{**row, "size": value} for row, value in zip(ROWS, values, strict=True)]
    answered(endpoint, typed(rows, size=datatype))
    assert [json.loads(bytes(row.received))["size"] for row in capture.rows] == values


def changed(make: Callable[..., Any], change: Callable[[Any], object]) -> Any:
    request = make()
    change(request)
    return request


def size_of(request: Any, datatype: str, field: str, values: list[Any]) -> None:
    tensor = request.inputs[1]
    tensor.datatype = datatype
    tensor.contents.Clear()
    getattr(tensor.contents, field).extend(values)


def set_raw(request: Any, place: int, data: bytes) -> None:
    request.raw_input_contents[place] = data


REFUSED = {
    "no message": (b"\xff" * 9, 400, "must be a ModelInferRequest"),
    "model": (changed(typed, lambda r: setattr(r, "model_name", "x")), 404, "the model here is tiny"),
    "version": (changed(typed, lambda r: setattr(r, "model_version", "v2")), 404, "answers with version v1"),
    "no inputs": (Infer.request(model_name="tiny"), 400, "one tensor or more"),
    "scalar": (changed(typed, lambda r: r.inputs[0].ClearField("shape")), 400, "must be [n, 1] or [n]"),
    "shape": (changed(typed, lambda r: r.inputs[0].shape.append(2**62)), 400, "must be [n, 1] or [n]"),
    "rows": (
        changed(raw, lambda r: [t.shape.__setitem__(0, 2**62) for t in r.inputs]),
        413,
        "at most 10,000",
    ),
    "negative": (changed(typed, lambda r: r.inputs[0].shape.__setitem__(0, -1)), 400, "must be [n, 1]"),
    "fewer": (changed(typed, lambda r: r.inputs[0].shape.__setitem__(0, 2)), 400, "one number of rows, 2"),
    "elements": (
        changed(typed, lambda r: r.inputs[0].contents.fp64_contents.pop()),
        400,
        "the tensor 'amount' must have 24 bytes, for 3 elements of FP64. Got 16",
    ),
    "field": (
        changed(typed, lambda r: size_of(r, "INT64", "fp64_contents", [1.0] * 3)),
        400,
        "must have its elements in int64_contents",
    ),
    "two fields": (
        changed(typed, lambda r: r.inputs[1].contents.fp64_contents.append(1.0)),
        400,
        "Got int64_contents, fp64_contents",
    ),
    "INT8": (changed(typed, lambda r: size_of(r, "INT8", "int_contents", [1, 300, 2])), 400, "Got 300"),
    "UINT16": (changed(typed, lambda r: size_of(r, "UINT16", "uint_contents", [70000] * 3)), 400, "70000"),
    "FP16": (
        changed(typed, lambda r: size_of(r, "FP16", "fp32_contents", [1.0] * 3)),
        400,
        "must come in raw_input_contents",
    ),
    "datatype": (changed(typed, lambda r: size_of(r, "FLOAT", "fp32_contents", [1.0])), 400, "Got 'FLOAT'"),
    "other kind": (changed(typed, lambda r: size_of(r, "BOOL", "bool_contents", [True] * 3)), 400, "INT64"),
    "fraction": (changed(typed, lambda r: size_of(r, "FP64", "fp64_contents", [1.5] * 3)), 422, "size must"),
    "missing": (changed(typed, lambda r: size_of(r, "FP64", "fp64_contents", [np.nan] * 3)), 422, "Got null"),
    "infinite": (
        changed(typed, lambda r: r.inputs[0].contents.fp64_contents.__setitem__(0, np.inf)),
        400,
        "must hold finite FP64 values",
    ),
    "text": (
        changed(typed, lambda r: r.inputs[2].contents.bytes_contents.__setitem__(1, b"\xff")),
        400,
        "element 1 of the tensor 'colour' must be text in UTF-8",
    ),
    "both": (
        changed(raw, lambda r: r.inputs[0].contents.fp64_contents.append(1.0)),
        400,
        "raw_input_contents must have the bytes of every tensor",
    ),
    "raw for some": (changed(raw, lambda r: r.raw_input_contents.pop()), 400, "Got 4 raw contents for 5"),
    "raw length": (changed(raw, lambda r: set_raw(r, 0, b"\0" * 23)), 400, "must have 24 bytes"),
    "BYTES cut": (changed(raw, lambda r: set_raw(r, 2, b"\x03\0\0\0re")), 400, "must end within"),
    "BYTES huge": (changed(raw, lambda r: set_raw(r, 2, b"\xff\xff\xff\xff")), 400, "must end within"),
    "BYTES short": (changed(raw, lambda r: set_raw(r, 2, b"\0\0\0\0")), 400, "must have 3 elements"),
    "raw FP16 as number": (changed(raw, lambda r: setattr(r.inputs[0], "datatype", "FP16")), 400, "6 bytes"),
    "column": (
        changed(typed, lambda r: setattr(r.inputs[0], "name", "amuont")),
        400,
        "did you mean 'amount'",
    ),
    "twice": (changed(typed, lambda r: setattr(r.inputs[0], "name", "size")), 400, "differ in their names"),
    "output": (changed(typed, lambda r: r.outputs.add(name="x")), 400, "an output must be one of"),
    "memory": (
        changed(raw, lambda r: setattr(r.inputs[0].parameters["shared_memory_region"], "string_param", "x")),
        400,
        "shared memory is not read here",
    ),
    "classification": (
        changed(
            raw,
            lambda r: setattr(
                r.outputs.add(name="probabilities").parameters["classification"], "int64_param", 2
            ),
        ),
        400,
        "comes whole",
    ),
    "ids": (changed(typed, lambda r: with_ids(r, ["a"])), 400, "ids must have one id for each row"),
    "ids of another type": (
        changed(typed, lambda r: setattr(r.parameters["ids"], "int64_param", 3)),
        400,
        "parameters.ids must be a string_param",
    ),
    "ids that are no list": (
        changed(typed, lambda r: setattr(r.parameters["ids"], "string_param", "a,b,c")),
        400,
        "parameters.ids must be a list of texts",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(endpoint: Endpoint, capture: Any, name: str) -> None:
    request, status, words = REFUSED[name]
    found = told(endpoint, request)
    assert (found[0], words in found[1]) == (status, True), found
    assert "\n" not in found[1]
    assert capture.rows == []


def test_more_elements_than_rows_may_be_are_refused_by_their_number(
    make_endpoint: Callable[..., Endpoint],
) -> None:
    found = told(make_endpoint(max_rows=2), typed())
    assert found == (
        413,
        "a request may have at most 2 rows (serving.max_rows). Got 3 elements in the tensor 'amount'; "
        "send several requests.",
    )


@pytest.mark.parametrize("tag", [b"\x2a\x00", b"\x32\x00", b"\x22\x00", b"\x3a\x00", b"\x08\x01"])
def test_a_body_of_empty_messages_is_refused_before_it_is_decoded(
    endpoint: Endpoint, tag: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(Infer), "parse", lambda *_: pytest.fail("decoded"))
    assert told(endpoint, tag * 40_000)[0] == 413


def test_a_large_body_is_counted_right(endpoint: Endpoint) -> None:
    request = typed([{**ROWS[0], "colour": "x" * 20_000}] * 4)
    body = request.SerializeToString()
    assert len(body) > fields.SMALL_BYTES
    answered(endpoint, body)
    for cut in (body[:-1], body + b"\x0b", body + b"\x08" + b"\xff" * 11):
        assert told(endpoint, cut)[0] == 400


@pytest.mark.parametrize("make", [typed, raw])
def test_an_answer_that_is_not_finite_refuses_all(
    endpoint: Endpoint, capture: Any, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = endpoint.versions.current.loaded.predictor.model
    monkeypatch.setattr(type(model), "predict", lambda self, x: np.full((len(x), 2), [np.nan, 1.0]))
    assert told(endpoint, make())[0] == 422
    assert capture.rows == []


RAW, TYPED = (make().SerializeToString() for make in (raw, typed))


@SHARED
@given(
    body=st.sampled_from([RAW, TYPED]),
    start=st.integers(0, len(TYPED)),
    n_bytes=st.integers(0, 9),
    by=st.binary(max_size=9),
)
def test_a_body_with_other_bytes_is_answered_or_refused(
    endpoint: Endpoint, capture: Any, body: bytes, start: int, n_bytes: int, by: bytes
) -> None:
    before = len(capture.rows)
    reply = asked(endpoint, body[:start] + by + body[start + n_bytes :])
    assert reply.status == 200 or reply.status in REFUSALS
    n_answered = 0
    if reply.status == 200:
        n_answered = Infer.response.FromString(reply.body).outputs[0].shape[0]
    assert len(capture.rows) - before == n_answered


@SHARED
@given(
    place=st.integers(0, 4),
    datatype=st.sampled_from(["FP64", "FP32", "FP16", "INT8", "UINT64", "BOOL", "BYTES", "", "x" * 99]),
    shape=st.lists(st.sampled_from([-1, 0, 1, 3, 24, 2**31, 2**63 - 1]), max_size=3),
    data=st.binary(max_size=40) | st.sampled_from([b"\0" * 24, b"\x03\0\0\0red" * 3, b"\xff" * 24]),
)
def test_a_tensor_of_anything_is_answered_or_refused(
    endpoint: Endpoint, place: int, datatype: str, shape: list[int], data: bytes
) -> None:
    request = raw()
    tensor = request.inputs[place]
    tensor.datatype = datatype
    tensor.shape[:] = shape
    request.raw_input_contents[place] = data
    assert asked(endpoint, request).status in REFUSALS | {200}
