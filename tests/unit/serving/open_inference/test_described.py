from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from raypipe.serving.app import EndpointApp
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.open_inference.document import example_inference
from raypipe.serving.open_inference.protocol import OpenInference
from raypipe.serving.open_inference.routes import Route, route_of
from raypipe.serving.openapi import openapi
from raypipe.serving.operator import Operator
from raypipe.serving.swap import VersionHolder
from tests.unit.serving.open_inference.bodies import as_json, tensors
from tests.unit.serving.test_app import Answer, ask, run


@pytest.fixture
def app(endpoint: Endpoint, operator: Operator) -> EndpointApp:
    return EndpointApp(endpoint, operator)


def get(app: EndpointApp, path: str, method: str = "GET") -> Answer:
    return run(ask(app, method, f"/tiny/{path}", headers=()))


def test_metadata_comes_from_the_columns(app: EndpointApp) -> None:
    found = json.loads(get(app, "v2/models/tiny").body)
    assert found == json.loads(get(app, "v2/models/tiny/versions/v1").body)
    assert (found["name"], found["versions"], found["platform"]) == ("tiny", ["v1"], "raypipe")
    inputs = [(one["name"], one["datatype"], one["shape"]) for one in found["inputs"]]
    assert inputs == [
        ("amount", "FP64", [-1, 1]),
        ("size", "INT64", [-1, 1]),
        ("colour", "BYTES", [-1, 1]),
        ("member", "BOOL", [-1, 1]),
        ("seen", "BYTES", [-1, 1]),
    ]
    assert found["inputs"][4]["parameters"] == {"kind": "timestamp", "nullable": True}
    outputs = [(one["name"], one["datatype"], one["shape"]) for one in found["outputs"]]
    assert outputs == [("prediction", "BYTES", [-1, 1]), ("probabilities", "FP64", [-1, 2])]


def test_the_config_says_the_same_as_triton_would(app: EndpointApp) -> None:
    found = json.loads(get(app, "v2/models/tiny/config").body)
    assert found == json.loads(get(app, "v2/models/tiny/versions/v1/config").body)
    assert (found["name"], found["platform"], found["max_batch_size"]) == ("tiny", "raypipe", 10_000)
    assert found["input"][2] == {"name": "colour", "data_type": "TYPE_STRING", "dims": [1], "optional": False}
    assert [(one["data_type"], one["dims"]) for one in found["output"]] == [
        ("TYPE_STRING", [1]),
        ("TYPE_FP64", [2]),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("v2/health/live", {"live": True}),
        ("v2/health/ready", {"ready": True}),
        ("v2/models/tiny/ready", {"name": "tiny", "version": "v1", "ready": True}),
        ("v2/models/tiny/versions/v1/ready", {"name": "tiny", "version": "v1", "ready": True}),
    ],
)
def test_health(app: EndpointApp, path: str, expected: Any) -> None:
    answer, head = get(app, path), get(app, path, "HEAD")
    assert (answer.status, head.status, head.body) == (200, 200, b"")
    assert json.loads(answer.body) == expected


def test_the_server_and_its_models(app: EndpointApp) -> None:
    assert {"name", "version", "extensions"} == json.loads(get(app, "v2").body).keys()
    index = run(ask(app, "POST", "/tiny/v2/repository/index", headers=()))
    assert json.loads(index.body) == [{"name": "tiny", "version": "v1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "v2/models/other", 404),
        ("GET", "v2/models/tiny/versions/v9", 404),
        ("GET", "v2/models/tiny/versions/v9/ready", 404),
        ("GET", "v2/models/tiny/versions/v9/config", 404),
        ("GET", "v2/", 404),
        ("GET", "v2/models", 404),
        ("GET", "v2/models/tiny/", 404),
        ("GET", "v2/models/tiny/versions/v1/else", 404),
        ("POST", "v2/repository/models/tiny/load", 404),
        ("GET", "v2/models/tiny/infer", 405),
        ("POST", "v2/models/tiny", 405),
    ],
)
def test_what_is_not_answered_is_said_in_the_protocols_form(
    app: EndpointApp, method: str, path: str, status: int
) -> None:
    answer = get(app, path, method)
    assert answer.status == status
    assert isinstance(json.loads(answer.body)["error"], str)


def test_statistics_count_what_was_answered_and_refused(endpoint: Endpoint) -> None:
    now = iter([1.0, 1.5, 2.0, 2.25])
    protocol = OpenInference(endpoint, lambda: next(now))
    route = Route("infer", "tiny")
    for body in (as_json(tensors()), b"{"):
        inference = protocol.inference(route, {}, body)
        protocol.counted(inference.timed, endpoint.predict(inference))
    for path in ("v2/models/stats", "v2/models/tiny/stats", "v2/models/tiny/versions/v1/stats"):
        asked = route_of(path)
        assert asked is not None
        assert json.loads(protocol.describe(asked).body)["model_stats"] == [
            {
                "name": "tiny",
                "version": "v1",
                "inference_count": 3,
                "inference_stats": {
                    "success": {"count": 1, "ns": 500_000_000},
                    "fail": {"count": 1, "ns": 250_000_000},
                },
            }
        ]


def document(versions: VersionHolder, auth: str = "off") -> Any:
    return json.loads(
        json.dumps(openapi("tiny", versions.current.loaded, ServingSettings.model_validate({"auth": auth})))
    )


def test_the_document_has_the_paths_and_they_answer(versions: VersionHolder, app: EndpointApp) -> None:
    found = document(versions)
    paths = {path: [*item] for path, item in found["paths"].items() if "/v2" in path}
    assert len(paths) == 14
    body = as_json(**example_inference(versions.current.loaded))
    for path, methods in paths.items():
        here = path.replace("{version}", "v1")
        for method in methods:
            sent = (body,) if method == "post" else ()
            assert run(ask(app, method.upper(), here, *sent, headers=())).status == 200, path


def test_the_document_judges_bodies_and_answers(versions: VersionHolder, app: EndpointApp) -> None:
    found = document(versions)

    def judge(name: str) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator({**found, "$ref": f"#/components/schemas/{name}"})

    example = example_inference(versions.current.loaded)
    judge("InferRequest").validate(example)
    path = "/tiny/v2/models/tiny/infer"
    judge("InferResponse").validate(
        json.loads(run(ask(app, "POST", path, json.dumps(example).encode())).body)
    )
    judge("InferError").validate(json.loads(run(ask(app, "POST", path, b"{}")).body))


def test_the_document_says_what_needs_a_token(versions: VersionHolder) -> None:
    paths = document(versions, "token")["paths"]
    asks = {
        path: one.get("security") for path, item in paths.items() for one in item.values() if "/v2" in path
    }
    assert asks["/tiny/v2/models/tiny/infer"] == asks["/tiny/v2/models/tiny"] == [{"token": []}]
    assert asks["/tiny/v2/models/tiny/stats"] == [{"operator": []}]
    assert asks["/tiny/v2/health/live"] is None
