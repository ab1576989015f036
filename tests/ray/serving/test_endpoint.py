"""The endpoint on Serve: one start of Serve for the module, one application for each test that changes it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from random import Random

import grpc
import psutil
import pytest

from benchmarks.fuzz.kinds import Target, requests
from benchmarks.fuzz.report import differences, run
from raypipe.core.clock import SystemClock
from raypipe.core.errors import ServingError
from raypipe.core.home import Home, PipelineHome
from raypipe.core.ids import Json
from raypipe.data.captured import LabelRecord, PredictionRecord, Record, decode
from raypipe.data.frames import read_frames
from raypipe.registry.store import Registry
from raypipe.serving import client
from raypipe.serving.config import ReplicaSettings, ServingSettings
from raypipe.serving.open_inference.rpc.address import address
from raypipe.serving.open_inference.rpc.messages import SERVICE
from raypipe.serving.pointer import Pointer, write_pointer
from raypipe.serving.releases import CHAMPION, Releases
from raypipe.serving.spec import EndpointSpec
from raypipe.testing.serving import register_tiny_version, tiny_model, write_tiny_version
from tests.unit.serving.open_inference.bodies import as_bytes, as_json, tensors
from tests.unit.serving.open_inference.rpc.calls import Infer, raw

ROW = {"amount": 1, "size": 3, "colour": "red", "member": True}
BODY = json.dumps({"rows": [ROW]}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def deployed(
    local_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., EndpointSpec]]:
    """Return a function that releases v1 of a pipeline and deploys it."""
    from ray import serve

    from raypipe.serving.on_ray import deploy, undeploy

    home = tmp_path_factory.mktemp("home")
    settings = ServingSettings(port=free_port(), poll_interval_s=0.05, body_timeout_s=3)
    names: list[str] = []

    def make(name: str, **more: object) -> EndpointSpec:
        spec = EndpointSpec(name, home, settings.model_copy(update=more))
        write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
        deploy(spec)
        names.append(name)
        return spec

    yield make
    for name in names:
        undeploy(name)
    serve.shutdown()


@pytest.fixture(scope="module")
def spec(deployed: Callable[[str], EndpointSpec]) -> EndpointSpec:
    return deployed("tiny")


class Load:
    """Posts one row again and again over kept connections, from a few threads, and keeps what came back."""

    def __init__(self, spec: EndpointSpec, n_threads: int = 4) -> None:
        self.answers: list[tuple[int, dict]] = []
        self.failures: list[Exception] = []
        self._spec = spec
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(n_threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, n_more: int) -> None:
        target, deadline = len(self.answers) + n_more, time.monotonic() + 60
        while len(self.answers) < target and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.answers) >= target, self.failures[:3]

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._spec.settings.port, timeout=30)
        while not self._stop.is_set():
            try:
                connection.request(
                    "POST", f"/{self._spec.name}/predict", BODY, {"content-type": "application/json"}
                )
                response = connection.getresponse()
                data = response.read()
                self.answers.append((response.status, json.loads(data) if response.status == 200 else {}))
            except (OSError, HTTPException, ValueError) as error:
                self.failures.append(error)
                connection.close()


class RpcLoad:
    """Asks over gRPC again and again on one connection, and keeps what came back."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.versions: list[str] = []
        self.ids: list[str] = []
        self.failures: list[grpc.RpcError] = []
        self._address = address(spec.settings)
        self._model = spec.name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> RpcLoad:
        self._thread.start()
        self.wait_for("v1")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, version: str) -> None:
        deadline = time.monotonic() + 60
        while version not in self.versions and time.monotonic() < deadline:
            time.sleep(0.01)
        assert version in self.versions, self.failures[:3]

    def _run(self) -> None:
        request = raw()
        request.model_name = self._model
        with grpc.insecure_channel(self._address) as channel:
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            while not self._stop.is_set():
                try:
                    answer = Infer.response.FromString(infer(request.SerializeToString(), timeout=30))
                    self.versions.append(answer.model_version)
                    self.ids += json.loads(answer.parameters["ids"].string_param)
                except grpc.RpcError as error:
                    self.failures.append(error)


def captured(folder: PipelineHome) -> list[Record]:
    segments = [path for path in folder.wal.glob("*/*") if path.suffix in (".open", ".sealed")]
    return [decode(one) for path in segments for one in read_frames(path.read_bytes()).payloads]


def move(spec: EndpointSpec, pointer: Pointer) -> client.EndpointStatus:
    write_pointer(spec.folder.pointer, pointer)
    return client.wait_for_epoch(spec.url, pointer.epoch, timeout_s=60)


def test_rows_are_answered_and_errors_told_in_place(spec: EndpointSpec) -> None:
    reply = client.predict(spec.url, {"rows": [ROW, {"size": "x"}], "ids": ["a", "b"]})
    assert reply.status == 200
    match reply.body:
        case {"version": "v1", "predictions": [good, bad]}:
            assert good == {"id": "a", "prediction": "good", "probabilities": {"bad": 0.25, "good": 0.75}}
            assert bad["error"]["column"] == "size"
        case _:
            pytest.fail(str(reply))
    assert "a" in {one.id for one in captured(spec.folder) if isinstance(one, PredictionRecord)}


@pytest.mark.parametrize(
    ("method", "route", "body", "status"),
    [
        ("POST", "predict", {"rows": [{}]}, 422),
        ("POST", "predict", {"row": []}, 400),
        ("GET", "predict", None, 405),
        ("GET", "nowhere", None, 404),
        ("GET", "health", None, 200),
        ("GET", "openapi.json", None, 200),
        ("GET", "docs", None, 200),
    ],
)
def test_routes_answer_through_the_proxy(
    spec: EndpointSpec, method: str, route: str, body: dict | None, status: int
) -> None:
    assert client.ask(spec.url, method, route, body).status == status


def test_a_large_batch_is_answered(spec: EndpointSpec) -> None:
    reply = client.predict(spec.url, {"rows": [ROW] * 3000})
    assert reply.status == 200
    assert isinstance(reply.body, dict)
    assert len(reply.body["predictions"]) == 3000  # type: ignore[arg-type]


def test_feedback_is_in_the_log(spec: EndpointSpec) -> None:
    reply = client.feedback(spec.url, {"labels": [{"id": "a", "label": "good"}, {"id": "b", "label": 1}]})
    assert reply.status == 200
    labels = [one for one in captured(spec.folder) if isinstance(one, LabelRecord)]
    assert [(label.prediction_id, label.label) for label in labels] == [("a", "good")]


def test_a_handle_asks_from_a_task_and_an_actor_without_http(spec: EndpointSpec) -> None:
    import ray

    import raypipe

    handle = raypipe.EndpointHandle(spec.name)

    @ray.remote(num_cpus=0)
    def in_a_task(handle: raypipe.EndpointHandle) -> object:
        return handle.predict([ROW, {"size": "x"}], ids=["t", "u"])

    @ray.remote(num_cpus=0)
    class Actor:
        async def ask(self, handle: raypipe.EndpointHandle) -> object:
            return await handle.predict_async([ROW] * 300)

    actor = Actor.remote()
    by_task, by_actor = ray.get([in_a_task.remote(handle), actor.ask.remote(handle)], timeout=60)
    by_http = client.predict(spec.url, {"rows": [ROW, {"size": "x"}], "ids": ["t", "u"]}).body
    assert by_task == by_http
    assert [one["prediction"] for one in by_actor["predictions"]] == ["good"] * 300
    assert handle.feedback([{"id": "t", "label": "bad"}]) == {"accepted": 1, "errors": []}
    kept = Counter(type(one) for one in captured(spec.folder) if getattr(one, "id", "t") == "t")
    assert kept[PredictionRecord] == 2, "one by the task, one over HTTP"
    assert kept[LabelRecord] >= 1
    with pytest.raises(ServingError, match="refused the request: ids must have one id for each row"):
        handle.predict([ROW], ids=["a", "b"])
    with pytest.raises(ServingError, match="the endpoint nowhere does not answer"):
        raypipe.EndpointHandle("nowhere").predict([ROW])
    ray.kill(actor)


def test_deploying_the_same_again_restarts_nothing(spec: EndpointSpec) -> None:
    from raypipe.serving.on_ray import deploy, deployed

    before = client.read_status(spec.url).replica
    assert deploy(spec) == spec.url
    assert client.read_status(spec.url).replica == before
    assert "tiny" in deployed()


def test_versions_are_swapped_under_load_without_a_failed_request(
    deployed: Callable[..., EndpointSpec],
) -> None:
    spec = deployed("swapped", grpc_port=free_port())
    before = client.read_status(spec.url).replica
    with Load(spec) as load, RpcLoad(spec) as rpc:
        for number in range(2, 6):
            move(spec, write_tiny_version(spec.folder, f"v{number}", number, model=tiny_model(0.5)))
            load.wait_for(20)
            rpc.wait_for(f"v{number}")
        with pytest.raises(ServingError, match=r"goes on with v5: .* is truncated"):
            spoilt = write_tiny_version(spec.folder, "v6", 6)
            (spec.folder.model("v6") / "model" / "constant.json").write_text("{")
            move(spec, spoilt)
        load.wait_for(20)
    assert load.failures == []
    assert Counter(status for status, _ in load.answers).keys() == {200}
    assert {answer["version"] for _, answer in load.answers} == {"v1", "v2", "v3", "v4", "v5"}
    assert rpc.failures == []
    assert set(rpc.versions) == {"v1", "v2", "v3", "v4", "v5"}
    kept = Counter(one.id for one in captured(spec.folder) if isinstance(one, PredictionRecord))
    assert {kept[id] for id in rpc.ids} == {1}
    with pytest.raises(ServingError, match=r"serving\.grpc_port .* cannot be used"):
        deployed("second", grpc_port=spec.settings.grpc_port)
    after = client.read_status(spec.url)
    assert (after.version, after.replica) == ("v5", before)
    assert (after.refused_epoch, after.details["refused"]["version"]) == (6, "v6")


def test_a_release_over_http_and_a_broadcast_reach_every_replica(spec: EndpointSpec, tmp_path: Path) -> None:
    """None of the replicas polls while this test runs."""
    from raypipe.serving.on_ray import Broadcast, deploy, undeploy

    replicas = ReplicaSettings(min=2, max=2, cpus=0.1)
    settings = spec.settings.model_copy(update={"poll_interval_s": 60.0, "replicas": replicas})
    spec = EndpointSpec("told", tmp_path, settings)
    home, broadcast = Home(tmp_path), Broadcast(spec.name)
    registry = Registry(home.registry_url, SystemClock())
    for good in (0.75, 0.5, 0.6):
        register_tiny_version(registry, spec.folder, model=tiny_model(good))
    releases = Releases(registry, spec.folder, announce=broadcast.tell)
    first = releases.release("v1", expected=None, reason="the first")
    assert broadcast.tell(first).result(timeout=60) == (), "there is no endpoint, and that is no error"
    deploy(spec)
    try:
        second = releases.release("v2", expected="v1", reason="better")
        assert broadcast.tell(second).result(timeout=60) == (second.epoch,) * 2
        token = home.operator_token.read_text()
        assert client.ask(spec.url, "POST", "rollback", {"expected": "v2"}, token="x" * 64).status == 403
        back = client.release(spec.url, "rollback", {"expected": "v2", "epoch": second.epoch}, token)
        again = client.release(spec.url, "rollback", {"expected": "v2", "epoch": second.epoch}, token)
        assert (back.version, back.is_new, again.epoch, again.is_new) == ("v1", True, back.epoch, False)
        assert broadcast.tell(first).result(timeout=60) == (back.epoch,) * 2
        assert registry.alias("told", CHAMPION) == "v1"
    finally:
        undeploy(spec.name)


def test_a_guarded_endpoint_and_bodies_that_do_not_come(spec: EndpointSpec, tmp_path: Path) -> None:
    from raypipe.serving.on_ray import deploy, undeploy

    settings = spec.settings.model_copy(update={"auth": "token", "body_timeout_s": 2})
    spec = EndpointSpec("guarded", tmp_path, settings)
    write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
    deploy(spec)
    try:
        rows: Json = {"rows": [ROW]}
        asked = [client.predict(spec.url, rows, token=one) for one in (None, "x" * 64, spec.token())]
        assert [one.status for one in asked] == [401, 403, 200]
        with pytest.raises(ServingError, match=r"must answer with 200\. Got 401"):
            client.read_status(spec.url)
        before = client.read_status(spec.url, token=spec.status_token())
        head = (
            f"POST /guarded/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {spec.token()}\r\n"
        ).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:], b""))
        for sent, status in (
            (head + b"transfer-encoding: chunked\r\n\r\n" + chunks, 200),
            (head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY[:9], 408),
            (head + b"transfer-encoding: chunked\r\n\r\n" + chunks[:9], 408),
        ):
            with socket.create_connection(("127.0.0.1", spec.settings.port), timeout=10) as connection:
                connection.sendall(sent)
                response = HTTPResponse(connection)
                response.begin()
                assert (response.status, json.loads(response.read()) != {}) == (status, True)
        assert client.read_status(spec.url, token=spec.status_token()).replica == before.replica
    finally:
        undeploy(spec.name)


def test_the_open_inference_protocol_is_answered_in_json_and_bytes(
    deployed: Callable[[str], EndpointSpec],
) -> None:
    spec = deployed("protocol")
    assert client.ask(spec.url, "GET", "v2/models/protocol/ready").status == 200
    answers = []
    for body, n_json in ((as_json(tensors()), None), as_bytes(tensors())):
        headers = {} if n_json is None else {"inference-header-content-length": str(n_json)}
        connection = HTTPConnection("127.0.0.1", spec.settings.port, timeout=30)
        connection.request("POST", "/protocol/v2/models/protocol/infer", body, headers)
        response = connection.getresponse()
        answers.append((response.status, json.loads(response.read())))
        connection.close()
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["outputs"] == answers[1][1]["outputs"]
    refused = client.ask(spec.url, "POST", "v2/models/protocol/infer", {"inputs": []})
    assert (refused.status, refused.body) == (
        400,
        {"error": "inputs must have one tensor or more. Got none."},
    )
    given = [id for _, answer in answers for id in answer["parameters"]["ids"]]
    assert sorted(one.id for one in captured(spec.folder) if isinstance(one, PredictionRecord)) == sorted(
        given
    )


def test_nonsense_costs_nobody_anything_and_the_log_holds_what_was_answered(
    deployed: Callable[[str], EndpointSpec],
) -> None:
    """`python -m benchmarks.fuzz` does the same for longer, behind HAProxy."""
    spec = deployed("fuzzed")
    before = client.read_status(spec.url)
    document = client.ask(spec.url, "GET", "openapi.json").body
    assert isinstance(document, dict)
    report = run("127.0.0.1", spec.settings.port, Target.of(document), n=500, seed=1)
    assert [(one.asked, one.status, one.body, one.error) for one in report.broken] == []
    assert report.by_kind["valid"].keys() == {"200"}
    assert report.by_kind["slow"].keys() == {"408"}
    assert report.by_kind.keys() == {one.kind for one in requests(Random(1), Target.of(document), 500)}
    after = client.read_status(spec.url)
    assert (after.replica, after.details["started_at"]) == (before.replica, before.details["started_at"])
    kept = [one.id for one in captured(spec.folder) if isinstance(one, PredictionRecord)]
    assert differences(report.ids, kept) == (Counter(), Counter())


def test_what_a_killed_replica_acknowledged_is_in_the_log_once(
    deployed: Callable[[str], EndpointSpec],
) -> None:
    spec = deployed("killed")
    before = client.read_status(spec.url).replica
    with Load(spec) as load:
        os.kill(pid_of_replica(spec.name), signal.SIGKILL)
        client.wait_for_epoch(spec.url, 1, timeout_s=60)
        load.wait_for(20)
    assert client.read_status(spec.url).replica != before
    ids = [item["id"] for status, answer in load.answers if status == 200 for item in answer["predictions"]]
    kept = Counter(one.id for one in captured(spec.folder) if isinstance(one, PredictionRecord))
    assert {one.split("-")[0] for one in ids} >= {before}
    assert len({one.split("-")[0] for one in ids}) == 2
    assert [one for one in ids if kept[one] != 1] == []


def pid_of_replica(name: str) -> int:
    title = f"ServeReplica:{name}:"
    [pid] = [
        one.pid for one in psutil.process_iter(["cmdline"]) if title in " ".join(one.info["cmdline"] or ())
    ]
    return int(pid)


def test_a_serve_that_listens_elsewhere_already_is_not_taken_for_local() -> None:
    from raypipe.serving.on_ray import _check_host

    with pytest.raises(ServingError, match=r"must be token, or off, where Serve listens on 0\.0\.0\.0"):
        _check_host(ServingSettings(), "0.0.0.0")
    for settings, host in (
        (ServingSettings(), "127.0.0.1"),
        (ServingSettings(auth="token"), "0.0.0.0"),
        (ServingSettings(auth="off"), "0.0.0.0"),
        (ServingSettings(host="0.0.0.0"), "0.0.0.0"),
    ):
        _check_host(settings, host)


def test_without_a_version_nothing_is_deployed(spec: EndpointSpec, tmp_path: Path) -> None:
    from raypipe.serving.on_ray import deploy

    with pytest.raises(ServingError, match="no version of empty is released yet"):
        deploy(EndpointSpec("empty", tmp_path, spec.settings))


def test_a_version_that_cannot_serve_is_said_in_one_sentence(spec: EndpointSpec, tmp_path: Path) -> None:
    from raypipe.serving.on_ray import deploy, undeploy

    broken = EndpointSpec("broken", tmp_path, spec.settings)
    write_pointer(broken.folder.pointer, write_tiny_version(broken.folder, "v1", 1))
    (broken.folder.model("v1") / "golden.json").unlink()
    with pytest.raises(
        ServingError, match=r"did not start with version v1: .*golden\.json is missing"
    ) as caught:
        deploy(broken)
    assert "\n" not in str(caught.value)
    assert undeploy("broken")
    assert not undeploy("broken")
