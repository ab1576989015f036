"""An unmodified `tritonclient[http]` asks an endpoint.

It asks for other versions of what raypipe needs, so that it lives in an environment of its own:
RAYPIPE_TEST_TRITON names that environment's Python.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from raypipe.serving.spec import EndpointSpec
from tests.contract.serving.served import ROWS, TOKEN, answers, kept_ids, served

PYTHON = os.environ.get("RAYPIPE_TEST_TRITON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="RAYPIPE_TEST_TRITON names no Python with tritonclient[http]"
)
PROGRAM = """
import json, sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
token = {"authorization": "Bearer " + sys.argv[2]}
COLUMNS = {
    "amount": ("FP64", np.array([[12.5], [3.0]])),
    "size": ("INT64", np.array([[3], [8]])),
    "colour": ("BYTES", np.array([["red"], ["bläu"]], dtype=object)),
    "member": ("BOOL", np.array([[True], [False]])),
    "seen": ("BYTES", np.array([["2026-01-31T12:00:00Z"], [""]], dtype=object)),
}

def inputs(binary, **other):
    found = []
    for name, (datatype, values) in {**COLUMNS, **other}.items():
        one = triton.InferInput(name, list(values.shape), datatype)
        one.set_data_from_numpy(values, binary_data=binary)
        found.append(one)
    return found

def answered(result):
    return {
        "answer": result.get_response(),
        "prediction": [
            one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("prediction").ravel()
        ],
        "probabilities": result.as_numpy("probabilities").tolist(),
    }

def refused(ask):
    try:
        return ["answered", str(ask())]
    except InferenceServerException as error:
        return [error.status(), error.message()]

def infer(binary, **options):
    headers = dict(token)
    return client.infer("tiny", inputs(binary, **options.pop("other", {})), headers=headers, **options)

NEVER = np.array([["never"], [""]], dtype=object)
json_outputs = [
    triton.InferRequestedOutput(name, binary_data=False) for name in ("prediction", "probabilities")
]
print(json.dumps({
    "health": [client.is_server_live(), client.is_server_ready(), client.is_model_ready("tiny"),
               client.is_model_ready("tiny", "v1"), client.is_model_ready("tiny", "v2")],
    "server": client.get_server_metadata(),
    "metadata": client.get_model_metadata("tiny", headers=token),
    "config": client.get_model_config("tiny", headers=token),
    "index": client.get_model_repository_index(headers=token),
    "binary": answered(infer(True, request_id="q", parameters={"ids": ["a", "b"]})),
    "json": answered(infer(False, outputs=json_outputs, model_version="v1")),
    "later": answered(client.async_infer("tiny", inputs(True), headers=dict(token)).get_result()),
    "missing": answered(infer(True, other={"amount": ("FP64", np.array([[np.nan], [1.0]]))})),
    "refused": {
        "version": refused(lambda: infer(True, model_version="v2")),
        "model": refused(lambda: client.get_model_metadata("other", headers=token)),
        "token": refused(lambda: client.infer("tiny", inputs(True))),
        "column": refused(lambda: infer(True, other={"zip": ("INT64", np.array([[1], [2]]))})),
        "datatype": refused(lambda: infer(True, other={"member": ("FP32", np.ones((2, 1), np.float32))})),
        "shape": refused(lambda: infer(True, other={"amount": ("FP64", np.ones((3, 1)))})),
        "value": refused(lambda: infer(True, other={"seen": ("BYTES", NEVER)})),
        "compressed": refused(lambda: infer(True, request_compression_algorithm="gzip")),
    },
}))
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointSpec]:
    with served(tmp_path_factory.mktemp("home")) as spec:
        yield spec


@pytest.fixture(scope="module")
def found(spec: EndpointSpec) -> Any:
    place = spec.url.removeprefix("http://")
    done = subprocess.run([PYTHON, "-c", PROGRAM, place, TOKEN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_health_and_metadata(found: Any) -> None:
    assert found["health"] == [True, True, True, True, False]
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert found["index"][0]["state"] == "READY"
    assert found["config"]["max_batch_size"] == 10_000
    inputs = {one["name"]: (one["datatype"], one["shape"]) for one in found["metadata"]["inputs"]}
    assert inputs == {
        "amount": ("FP64", [-1, 1]),
        "size": ("INT64", [-1, 1]),
        "colour": ("BYTES", [-1, 1]),
        "member": ("BOOL", [-1, 1]),
        "seen": ("BYTES", [-1, 1]),
    }


def test_json_and_bytes_give_the_plain_forms_numbers(found: Any, spec: EndpointSpec) -> None:
    expected = answers(spec, ROWS)
    for kind in ("binary", "json", "later"):
        assert (found[kind]["prediction"], found[kind]["probabilities"]) == expected
        assert found[kind]["answer"]["model_version"] == "v1"
    without: list[Any] = [{**one, "amount": amount} for one, amount in zip(ROWS, (None, 1.0), strict=True)]
    assert (found["missing"]["prediction"], found["missing"]["probabilities"]) == answers(spec, without)
    assert found["binary"]["answer"]["id"] == "q"
    assert found["binary"]["answer"]["parameters"] == {"ids": ["a", "b"], "role": "champion"}


def test_refusals_are_told(found: Any) -> None:
    told = {name: (status, words) for name, (status, words) in found["refused"].items()}
    assert {name: status for name, (status, _) in told.items()} == {
        "version": "404",
        "model": "404",
        "token": "401",
        "column": "400",
        "datatype": "400",
        "shape": "400",
        "value": "422",
        "compressed": "415",
    }
    assert told["version"][1].startswith("tiny answers with version v1, and no other. Got 'v2'")
    assert "row 0: seen must be an ISO 8601 time" in told["value"][1]


def test_every_answer_is_in_the_log_once(found: Any, spec: EndpointSpec) -> None:
    names = ("binary", "json", "later", "missing")
    given = [id for name in names for id in found[name]["answer"]["parameters"]["ids"]]
    kept = kept_ids(spec)
    assert sorted(id for id in kept if id in given) == sorted(given)
    assert len(set(given)) == 8
