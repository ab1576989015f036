from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.core.home import PipelineHome
from raypipe.serving.app import EndpointApp
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator
from raypipe.serving.pointer import write_pointer
from raypipe.serving.swap import VersionHolder, load_version
from raypipe.serving.token import Guard, keep_token
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, trained_tiny_model, write_tiny_version
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.models import Model
from raypipe.training.task import Task
from tests.unit.serving.open_inference.bodies import (
    JSON_TYPE,
    ROWS,
    as_bytes,
    as_json,
    elements,
    length,
    tensor,
    tensors,
)
from tests.unit.serving.test_app import Answer, ask, run, run_all

INFER = "/tiny/v2/models/tiny/infer"


@pytest.fixture
def released(folder: PipelineHome) -> object:
    """Release a version whose answers depend on the rows."""
    return release(folder, trained_tiny_model("linear", TINY_TASK))


def release(folder: PipelineHome, model: Model, task: Task = TINY_TASK, epoch: int = 1) -> object:
    pointer = write_tiny_version(folder, f"v{epoch}", epoch, model=model, task=task)
    write_pointer(folder.pointer, pointer)
    return pointer


@pytest.fixture
def app(endpoint: Endpoint, operator: Operator) -> EndpointApp:
    return EndpointApp(endpoint, operator)


def infer(app: EndpointApp, inputs: list[dict[str, Any]], path: str = INFER, **more: Any) -> Answer:
    return run(ask(app, "POST", path, as_json(inputs, **more)))


def infer_bytes(app: EndpointApp, inputs: list[dict[str, Any]], **more: Any) -> Answer:
    body, n_json = as_bytes(inputs, **more)
    return run(ask(app, "POST", INFER, body, headers=length(n_json)))


def told(answer: Answer) -> str:
    found = json.loads(answer.body)
    assert found.keys() == {"error"}
    return str(found["error"])


def outputs(answer: Answer) -> dict[str, list[Any]]:
    assert answer.status == 200, answer.body
    return {one["name"]: one["data"] for one in json.loads(answer.body)["outputs"]}


def plain(app: EndpointApp, rows: Any = ROWS) -> list[dict[str, Any]]:
    answer = run(ask(app, "POST", "/tiny/predict", json.dumps({"rows": list(rows)}).encode()))
    return json.loads(answer.body)["predictions"]


@pytest.mark.parametrize("n_times", [1, 100, 500])
@pytest.mark.parametrize("send", [infer, infer_bytes])
def test_the_numbers_are_those_of_the_plain_form(
    app: EndpointApp, send: Callable[..., Answer], n_times: int
) -> None:
    rows = ROWS * n_times
    expected = plain(app, rows)
    found = outputs(send(app, tensors(rows)))
    assert found["prediction"] == [one["prediction"] for one in expected]
    assert found["probabilities"] == [p for one in expected for p in one["probabilities"].values()]
    assert len(set(found["probabilities"])) >= len(ROWS)


def test_an_answer_says_what_answered(app: EndpointApp) -> None:
    found = json.loads(infer(app, tensors(), id="q").body)
    assert {key: found[key] for key in ("model_name", "model_version", "id")} == {
        "model_name": "tiny",
        "model_version": "v1",
        "id": "q",
    }
    assert found["parameters"] == {"ids": ["r1-0", "r1-1", "r1-2"], "role": "champion"}
    shapes = [(one["name"], one["datatype"], one["shape"]) for one in found["outputs"]]
    assert shapes == [("prediction", "BYTES", [3, 1]), ("probabilities", "FP64", [3, 2])]
    assert found["outputs"][1]["parameters"] == {"classes": ["bad", "good"]}


@pytest.mark.parametrize("send", [infer, infer_bytes])
def test_what_is_kept_is_what_was_answered_once(
    app: EndpointApp, capture: Any, send: Callable[..., Answer]
) -> None:
    ids = ["a", "b", "c"]
    found = outputs(send(app, tensors(), parameters={"ids": ids}))
    assert [row.id for row in capture.rows] == ids
    assert [row.prediction for row in capture.rows] == found["prediction"]
    assert [json.loads(bytes(row.received)) for row in capture.rows] == list(ROWS)


def test_ids_may_be_the_json_of_a_list(app: EndpointApp, capture: Any) -> None:
    outputs(infer(app, tensors(), parameters={"ids": '["a", "b", "c"]'}))
    assert [row.id for row in capture.rows] == ["a", "b", "c"]


def test_outputs_come_as_they_are_asked_for(app: EndpointApp) -> None:
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "prediction"}]
    answer = infer(app, tensors(), outputs=asked)
    head, data = split(answer)
    first, second = head["outputs"]
    assert (first["name"], first["parameters"]["binary_data_size"], "data" in first) == (
        "probabilities",
        48,
        False,
    )
    assert (second["name"], second.keys()) == ("prediction", {"name", "datatype", "shape", "data"})
    assert np.frombuffer(data, "<f8").tolist() == outputs(infer(app, tensors()))["probabilities"]


def test_all_outputs_may_come_as_bytes(app: EndpointApp) -> None:
    asked = {"parameters": {"binary_data_output": True}}
    head, data = split(infer_bytes(app, tensors(), **asked))
    expected = outputs(infer(app, tensors()))
    first = head["outputs"][0]["parameters"]["binary_data_size"]
    assert data[:first] == elements("BYTES", expected["prediction"])
    assert data[first:] == elements("FP64", expected["probabilities"])


def split(answer: Answer) -> tuple[dict[str, Any], bytes]:
    assert answer.headers[b"content-type"] == b"application/octet-stream"
    n_json = int(answer.headers[b"inference-header-content-length"])
    return json.loads(answer.body[:n_json]), answer.body[n_json:]


@pytest.mark.parametrize("send", [infer, infer_bytes])
@pytest.mark.parametrize(
    ("name", "datatype", "value", "kept"),
    [
        ("amount", "FP64", None, None),
        ("amount", "FP32", 0.1, float(np.float32(0.1))),
        ("amount", "INT8", -7, -7),
        ("amount", "UINT64", 2**64 - 1, 2**64 - 1),
        ("size", "FP32", 3.0, 3),
        ("size", "UINT64", 7, 7),
        ("colour", "BYTES", "", ""),
        ("seen", "BYTES", "", None),
        ("member", "BOOL", False, False),
    ],
)
def test_values(
    app: EndpointApp,
    capture: Any,
    send: Callable[..., Answer],
    name: str,
    datatype: str,
    value: Any,
    kept: Any,
) -> None:
    outputs(send(app, tensors([{**ROWS[0], name: value}], **{name: datatype})))
    assert json.loads(bytes(capture.rows[-1].received))[name] == kept


def test_a_column_that_may_be_missing_may_be_left_out_and_one_that_is_not_used_may_come(
    app: EndpointApp, capture: Any
) -> None:
    inputs = [one for one in tensors() if one["name"] not in ("amount", "seen")]
    outputs(infer(app, [*inputs, tensor("note", "INT64", [1, 2, 3])]))
    assert [json.loads(bytes(row.received))["note"] for row in capture.rows] == [1, 2, 3]


def test_data_may_be_nested_and_a_shape_flat(app: EndpointApp) -> None:
    nested = [{**one, "data": [[value] for value in one["data"]]} for one in tensors()]
    flat = [{**one, "shape": [3]} for one in tensors()]
    assert outputs(infer(app, nested)) == outputs(infer(app, flat)) == outputs(infer(app, tensors()))


def changed(which: str, **change: Any) -> list[dict[str, Any]]:
    return [{**one, **change} if one["name"] == which else one for one in tensors()]


REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], int, str]] = [
    ([], {}, 400, "inputs must have one tensor or more"),
    (tensors()[:1], {}, 422, "3 of 3 rows cannot be read, and none is answered; row 0: size is missing"),
    (changed("size", shape=[2, 1]), {}, 400, "one number of rows, 3 as 'amount'. Got 2 in 'size'"),
    (changed("amount", shape=[3, 2]), {}, 400, "must be [n, 1] or [n]"),
    (changed("amount", shape=[]), {}, 400, "must be [n, 1] or [n]"),
    (changed("amount", shape=[-1, 1]), {}, 400, "must be [n, 1] or [n]"),
    (changed("amount", shape=[10**30, 1]), {}, 400, "the body must be"),
    ([{**one, "shape": [2**40]} for one in tensors()], {}, 413, "at most 10,000 rows (serving.max_rows)"),
    (changed("amount", data=[1.0]), {}, 400, "must have 3 elements, as its shape says. Got 1"),
    (changed("amount", data=[1, "2", 3]), {}, 400, "a list of FP64 values"),
    (changed("amount", data={}), {}, 400, "a list of FP64 values"),
    (changed("amount", data=[[[1]]]), {}, 400, "a list of FP64 values"),
    (changed("size", data=[1, 2, 2**63]), {}, 400, "a list of INT64 values"),
    (changed("size", datatype="UINT64", data=[1, 2, 10**400]), {}, 400, "UINT64"),
    (
        changed("size", datatype="UINT64", data=[1, 2, 2**64 - 1]),
        {},
        422,
        "row 2: size must be a whole number",
    ),
    (changed("size", datatype="FP64", data=[1, 2.5, None]), {}, 422, "2 of 3 rows"),
    (changed("amount", datatype="FP32", data=[1, 1e300, 2]), {}, 400, "finite FP32 values"),
    (
        changed("member", datatype="INT64", data=[1, 0, 1]),
        {},
        400,
        "must be BOOL; taken are BOOL. Got 'INT64'",
    ),
    (changed("amount", datatype="BF16"), {}, 400, "must be FP64; taken are FP64, FP32"),
    (changed("amount", datatype="x" * 999), {}, 400, "x…'"),
    (changed("colour", data=["a", None, "b"]), {}, 422, "row 1: colour must be text. Got null"),
    (changed("seen", data=["never", None, None]), {}, 422, "row 0: seen must be an ISO 8601 time"),
    (changed("colour", name="color"), {}, 400, "the model has no input 'color'; did you mean 'colour'?"),
    (changed("colour", name="amount"), {}, 400, "must differ in their names. Got 'amount' twice"),
    (changed("amount", parameters={"binary_data_size": 24}), {}, 400, "and not both"),
    (changed("amount", parameters={"shared_memory_region": "x"}), {}, 400, "shared memory is not read here"),
    (changed("amount", parameters=7), {}, 400, "the body must be"),
    (tensors(), {"outputs": [{"name": "score"}]}, 400, "one of prediction, probabilities. Got 'score'"),
    (tensors(), {"outputs": [{"name": "prediction"}] * 2}, 400, "must differ in their names"),
    (
        tensors(),
        {"outputs": [{"name": "prediction", "parameters": {"classification": 2}}]},
        400,
        "classification and",
    ),
    (tensors(), {"parameters": {"ids": ["a"]}}, 400, "one id for each row"),
    (tensors(), {"parameters": {"ids": "a"}}, 400, "parameters.ids must be a list of texts"),
    (tensors(), {"parameters": {"ids": ["a", "a", "b"]}}, 400, "must differ from each other"),
]


@pytest.mark.parametrize(("inputs", "more", "status", "words"), REFUSED)
def test_refusals_keep_nothing(
    app: EndpointApp,
    capture: Any,
    inputs: list[dict[str, Any]],
    more: dict[str, Any],
    status: int,
    words: str,
) -> None:
    body = as_json(inputs, **more).replace(b'"data": null, ', b"")
    answer = run(ask(app, "POST", INFER, body))
    assert (answer.status, words in told(answer)) == (status, True), answer.body[:300]
    assert capture.rows == []
    assert app.endpoint.counters.n_refused_requests == 1


GOOD, N_JSON = as_bytes(tensors())


@pytest.mark.parametrize(
    ("body", "n_json", "words"),
    [
        (GOOD, b"", "must say how many bytes of the body are JSON"),
        (GOOD, b"-1", "Got '-1'"),
        (GOOD, b"9" * 30, "must say how many"),
        (GOOD, b"%d" % (len(GOOD) + 1), "0 to"),
        (GOOD, b"0", "is not JSON"),
        (GOOD, b"%d" % (N_JSON - 1), "is not JSON"),
        (GOOD, b"%d" % (N_JSON + 1), "is not JSON"),
        (GOOD + b"x", b"%d" % N_JSON, "the bytes after the JSON must be those of the tensors"),
        (GOOD[:-1], b"%d" % N_JSON, "binary_data_size of the tensor 'seen' must be 0 to"),
        (GOOD.replace(b'_size": 24', b'_size": -1', 1), b"%d" % N_JSON, "Got -1"),
        (
            GOOD.replace(b'_size": 24', b'_size": 16', 1)[:-8],
            b"%d" % N_JSON,
            "must have 24 bytes, for 3 elements of FP64",
        ),
        (
            GOOD.replace(b"\x03\x00\x00\x00red", b"\xff\xff\xff\xffred"),
            b"%d" % N_JSON,
            "element 0 of the tensor",
        ),
        (
            GOOD.replace(b"\x03\x00\x00\x00red", b"\x02\x00\x00\x00red"),
            b"%d" % N_JSON,
            "element 1 of the tensor",
        ),
        (GOOD.replace(b"red", b"\xff\xfe\xfd"), b"%d" % N_JSON, "must be text in UTF-8"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(
    app: EndpointApp, capture: Any, body: bytes, n_json: bytes, words: str
) -> None:
    answer = run(ask(app, "POST", INFER, body, headers=length(n_json)))
    assert (answer.status, words in told(answer)) == (400, True), answer.body
    assert capture.rows == []


def test_a_missing_integer_comes_as_a_float(app: EndpointApp) -> None:
    inputs = tensors([{**ROWS[0], "size": None}], size="FP64")
    answer = infer_bytes(app, inputs)
    assert (answer.status, "row 0: size must be a whole number" in told(answer)) == (422, True)


def test_infinity_is_refused(app: EndpointApp) -> None:
    answer = infer_bytes(app, tensors([{**ROWS[0], "amount": float("inf")}]))
    assert (answer.status, "Got inf as element 0" in told(answer)) == (400, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("v2/models/tiny/versions/v1/infer", 200),
        ("v2/models/tiny/versions/v2/infer", 404),
        ("v2/models/other/infer", 404),
    ],
)
def test_only_what_serves_answers(app: EndpointApp, capture: Any, path: str, status: int) -> None:
    answer = infer(app, tensors(), f"/tiny/{path}")
    assert answer.status == status
    assert len(capture.rows) == (3 if status == 200 else 0)
    if status == 404:
        assert "tiny" in told(answer)


def test_after_a_swap_the_other_version_is_the_one(
    app: EndpointApp, folder: PipelineHome, versions: VersionHolder
) -> None:
    release(folder, trained_tiny_model("linear", TINY_TASK), epoch=2)
    versions.poll()
    assert infer(app, tensors(), "/tiny/v2/models/tiny/versions/v1/infer").status == 404
    assert json.loads(infer(app, tensors()).body)["model_version"] == "v2"


def with_model(folder: PipelineHome, capture: Any, clock: FakeClock, model: Model, task: Task) -> Endpoint:
    release(folder, model, task, 3)
    versions = VersionHolder(folder.pointer, partial(load_version, folder), clock)
    return Endpoint("tiny", ServingSettings(), versions=versions, capture=capture, clock=clock, replica="r1")


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [((False, True), "BOOL"), ((3, 5), "INT64"), ((0.5, 2.0), "FP64"), ((1, 2.5), "FP64"), ((), "FP64")],
)
def test_predictions_of_other_tasks(
    folder: PipelineHome, capture: Any, clock: FakeClock, operator: Operator, classes: Any, datatype: str
) -> None:
    task = Task("classification", "y", classes, "auc") if classes else Task("regression", "y", (), "mae")
    model = ConstantModel((0.25, 0.75), None) if classes else ConstantModel((), 2.5)
    app = EndpointApp(with_model(folder, capture, clock, model, task), operator)
    found = json.loads(infer(app, tensors(ROWS[:1])).body)["outputs"]
    assert (found[0]["datatype"], found[0]["data"]) == (datatype, [classes[1] if classes else 2.5])
    assert len(found) == (2 if classes else 1)
    head, data = split(
        infer(
            app, tensors(ROWS[:1]), outputs=[{"name": "prediction"}], parameters={"binary_data_output": True}
        )
    )
    assert (
        len(data) == head["outputs"][0]["parameters"]["binary_data_size"] == (1 if datatype == "BOOL" else 8)
    )


def test_an_answer_that_is_not_finite_refuses_all_and_keeps_nothing(
    endpoint: Endpoint, operator: Operator, capture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = endpoint.versions.current.loaded.predictor.model
    monkeypatch.setattr(type(model), "predict", lambda self, x: np.full((len(x), 2), [np.nan, 1.0]))
    app = EndpointApp(endpoint, operator)
    answer = infer(app, tensors())
    assert (answer.status, "not finite" in told(answer)) == (422, True)
    assert (capture.rows, endpoint.counters.n_failed_rows) == ([], 3)


def test_a_model_that_fails_is_told_in_the_protocols_form(
    endpoint: Endpoint, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> object:
        raise RuntimeError("boom")

    monkeypatch.setattr(endpoint, "predict_all", fail)
    answer = infer(EndpointApp(endpoint, operator), tensors())
    assert (answer.status, told(answer)) == (500, "the model failed: RuntimeError: boom")


def test_it_is_gathered_with_plain_requests(
    app: EndpointApp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_all, sizes = endpoint.predict_all, []

    def counted(asked: Any) -> Any:
        sizes.append(len(asked))
        return predict_all(asked)

    monkeypatch.setattr(endpoint, "predict_all", counted)
    rows = json.dumps({"rows": list(ROWS)}).encode()
    answers = run_all(
        ask(app, "POST", INFER, as_json(tensors())),
        ask(app, "POST", "/tiny/predict", rows),
        ask(app, "POST", INFER, b"{"),
    )
    assert [one.status for one in answers] == [200, 200, 400]
    assert sizes == [3]


def test_bounds_are_those_of_the_plain_form(
    make_endpoint: Callable[..., Endpoint], operator: Operator
) -> None:
    settings = {"max_body_bytes": 2048, "max_rows": 2, "max_ongoing_requests": 1}
    app = EndpointApp(make_endpoint(**settings), operator, refusal_delay_s=float)
    too_many = infer(app, tensors())
    too_long = run(ask(app, "POST", INFER, b"x" * 4096))
    kind = run(ask(app, "POST", INFER, as_json(tensors()), headers=((b"content-type", b"text/plain"),)))
    zipped = run(ask(app, "POST", INFER, b"", headers=(JSON_TYPE, (b"content-encoding", b"gzip"))))
    one = as_json(tensors(ROWS[:1]))
    busy = run_all(*(ask(app, "POST", INFER, one) for _ in range(2)))
    assert [a.status for a in (too_many, too_long, kind, zipped)] == [413, 413, 415, 415]
    assert sorted(a.status for a in busy) == [200, 429]
    refused = [too_many, too_long, kind, zipped, next(a for a in busy if a.status == 429)]
    assert all(told(a) for a in refused)
    assert refused[-1].headers[b"retry-after"] == b"1"


def test_who_may(endpoint: Endpoint, operator: Operator, clock: FakeClock, tmp_path: Path) -> None:
    keep_token(tmp_path / "serving.token", "u" * 64)
    app = EndpointApp(endpoint, operator, Guard(tmp_path / "serving.token", clock, "a token is asked for"))
    users = (JSON_TYPE, (b"authorization", b"Bearer " + b"u" * 64))
    body = as_json(tensors())
    assert run(ask(app, "POST", INFER, body)).status == 401
    assert run(ask(app, "POST", INFER, body, headers=users)).status == 200
    for path, status, by_user in (
        ("v2/health/ready", 200, 200),
        ("v2", 200, 200),
        ("v2/models/tiny/ready", 200, 200),
        ("v2/models/tiny", 401, 200),
        ("v2/models/tiny/stats", 401, 403),
    ):
        open_, shown = (run(ask(app, "GET", f"/tiny/{path}", headers=h)) for h in ((), users))
        assert (open_.status, shown.status) == (status, by_user), path
        assert status == 200 or told(open_)
