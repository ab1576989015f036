"""Unmodified clients ask an endpoint over gRPC: Triton's, and stubs made of the package's .proto.

Each lives in an environment of its own, which a variable names:

- RAYPIPE_TEST_TRITON, a Python with `tritonclient[grpc]`;
- RAYPIPE_TEST_NODE, a folder in which `npm install @grpc/grpc-js @grpc/proto-loader` was run;
- RAYPIPE_TEST_JAVA, a folder with the jars of grpc-java and protobuf-java, and beside them `protoc` and
  `grpc_java_plugin` of their versions.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.serving.open_inference.rpc.address import address
from raypipe.serving.open_inference.rpc.messages import PROTO
from raypipe.serving.spec import EndpointSpec
from tests.contract.serving.served import ROWS, TOKEN, answers, kept_ids, served

PROGRAMS = Path(__file__).with_name("clients")
PYTHON, NODE, JAVA = (os.environ.get(f"RAYPIPE_TEST_{name}", "") for name in ("TRITON", "NODE", "JAVA"))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointSpec]:
    with served(tmp_path_factory.mktemp("home")) as spec:
        yield spec


def ask(spec: EndpointSpec, *command: str | Path, **environment: str) -> Any:
    """Return what a client's program prints, given where to ask and the token."""
    done = subprocess.run(
        [*command, address(spec.settings), TOKEN],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.skipif(not PYTHON, reason="RAYPIPE_TEST_TRITON names no Python with tritonclient[grpc]")
def test_tritonclient(spec: EndpointSpec) -> None:
    there = subprocess.run([PYTHON, "-c", "import tritonclient.grpc"], capture_output=True, timeout=60)
    if there.returncode:
        pytest.skip(f"{PYTHON} has no tritonclient[grpc]")
    found = ask(spec, PYTHON, PROGRAMS / "triton.py")
    assert found["health"] == [True, True, True, True, False]
    assert found["server"]["name"] == "raypipe"
    assert [one["name"] for one in found["metadata"]["inputs"]] == list(dict(ROWS[0]))  # type: ignore[call-overload]
    assert found["config"]["config"]["max_batch_size"] == 10_000
    assert found["index"]["models"][0]["state"] == "READY"
    for kind in ("raw", "later"):
        assert (found[kind]["prediction"], found[kind]["probabilities"]) == answers(spec, ROWS)
    assert json.loads(found["raw"]["ids"]) == ["triton-0", "triton-1"]
    assert {name: status for name, (status, _) in found["refused"].items()} == {
        "version": "StatusCode.NOT_FOUND",
        "token": "StatusCode.UNAUTHENTICATED",
        "column": "StatusCode.INVALID_ARGUMENT",
        "datatype": "StatusCode.INVALID_ARGUMENT",
        "shape": "StatusCode.INVALID_ARGUMENT",
        "value": "StatusCode.INVALID_ARGUMENT",
        "statistics": "StatusCode.UNAUTHENTICATED",
        "compressed": "StatusCode.UNIMPLEMENTED",
        "load": "StatusCode.UNIMPLEMENTED",
    }
    assert "row 0: seen must be an ISO 8601 time" in found["refused"]["value"][1]
    assert {*json.loads(found["raw"]["ids"])} <= {*kept_ids(spec)}


def check_stubs(spec: EndpointSpec, found: Any, name: str) -> None:
    """Check what a program with stubs of the .proto was told."""
    assert found["ready"] is True
    assert (found["prediction"], found["probabilities"]) == answers(spec, ROWS)
    assert json.loads(found["ids"]) == [f"{name}-0", f"{name}-1"]
    assert json.loads(found["classes"]) == ["bad", "good"]
    assert found["refused"] == ["UNAUTHENTICATED", "NOT_FOUND", "INVALID_ARGUMENT"]
    assert {*json.loads(found["ids"])} <= {*kept_ids(spec)}


@pytest.mark.skipif(not NODE, reason="RAYPIPE_TEST_NODE names no folder with @grpc/grpc-js")
def test_node(spec: EndpointSpec) -> None:
    modules = str(Path(NODE) / "node_modules")
    check_stubs(spec, ask(spec, "node", PROGRAMS / "node.js", PROTO, NODE_PATH=modules), "node")


@pytest.mark.skipif(not JAVA, reason="RAYPIPE_TEST_JAVA names no folder with the jars of grpc-java")
def test_java(spec: EndpointSpec, tmp_path: Path) -> None:
    place = Path(JAVA)
    classes = f"{place}/*:{tmp_path}"
    plugin = f"--plugin=protoc-gen-grpc-java={place / 'grpc_java_plugin'}"
    out = (f"--java_out={tmp_path}", f"--grpc-java_out={tmp_path}")
    subprocess.run([place / "protoc", f"-I{PROTO.parent}", plugin, *out, PROTO], check=True, timeout=60)
    sources = [*tmp_path.rglob("*.java"), PROGRAMS / "Ask.java"]
    subprocess.run(["javac", "-nowarn", "-cp", classes, "-d", tmp_path, *sources], check=True, timeout=120)
    check_stubs(spec, ask(spec, "java", "-cp", classes, "Ask"), "java")
