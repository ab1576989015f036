from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import StorageError
from raypipe.core.home import PipelineHome
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.pointer import write_pointer
from raypipe.serving.reply import Reply
from raypipe.serving.swap import VersionHolder
from raypipe.testing.serving import tiny_model, write_tiny_version
from raypipe.training.families.baseline import ConstantModel

ROW = {"amount": 1, "size": 3, "colour": "red", "member": True}


def body(*rows: object, **more: object) -> bytes:
    return json.dumps({"rows": rows, **more}).encode()


def read(reply: Reply) -> dict:
    assert reply.content_type == b"application/json"
    return json.loads(reply.body)


def test_a_row_is_answered_and_kept(endpoint: Endpoint, capture: object) -> None:
    reply = endpoint.predict(body(ROW))
    assert reply.status == 200
    probabilities = {"bad": 0.25, "good": 0.75}
    assert read(reply) == {
        "version": "v1",
        "predictions": [{"id": "r1-0", "prediction": "good", "probabilities": probabilities}],
    }
    [kept] = capture.rows  # type: ignore[attr-defined]
    assert (kept.id, kept.prediction, kept.probabilities) == ("r1-0", "good", (0.25, 0.75))
    assert json.loads(bytes(kept.received)) == ROW


def test_a_row_that_fails_keeps_its_place_and_stops_no_other(endpoint: Endpoint, capture: object) -> None:
    reply = endpoint.predict(body({"size": "x"}, ROW, ids=["a", "b"]))
    assert reply.status == 200
    failed, answered = read(reply)["predictions"]
    assert failed["id"] == "a"
    assert failed["error"]["column"] == "size"
    assert [one["column"] for one in failed["error"]["fields"]] == ["size", "colour", "member"]
    assert (answered["id"], answered["prediction"]) == ("b", "good")
    assert [row.id for row in capture.rows] == ["b"]  # type: ignore[attr-defined]


def test_a_request_without_a_valid_row_is_422(endpoint: Endpoint, capture: object) -> None:
    assert endpoint.predict(body({}, 5)).status == 422
    assert endpoint.predict(body()).status == 400
    assert capture.rows == []  # type: ignore[attr-defined]


def test_a_refused_request_is_told_in_one_sentence(endpoint: Endpoint) -> None:
    reply = endpoint.predict(b"{")
    assert reply.status == 400
    assert read(reply)["error"]["message"].startswith("the body is not JSON in UTF-8")


def test_ids_differ_between_requests(endpoint: Endpoint) -> None:
    ids = [item["id"] for _ in range(3) for item in read(endpoint.predict(body(ROW, {}, ROW)))["predictions"]]
    assert len(set(ids)) == 9


def test_an_answer_that_is_no_number_is_the_rows_error(
    folder: PipelineHome, endpoint: Endpoint, versions: VersionHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConstantModel, "predict", lambda self, x: np.full((len(x), 2), np.nan))
    reply = endpoint.predict(body(ROW))
    assert reply.status == 422
    assert "not a finite number" in read(reply)["predictions"][0]["error"]["message"]


def test_after_a_swap_the_new_version_answers(
    folder: PipelineHome, endpoint: Endpoint, versions: VersionHolder
) -> None:
    write_pointer(folder.pointer, write_tiny_version(folder, "v2", 2, model=tiny_model(0.25)))
    versions.poll()
    found = read(endpoint.predict(body(ROW)))
    assert (found["version"], found["predictions"][0]["prediction"]) == ("v2", "bad")


def test_feedback_is_kept_and_counted(endpoint: Endpoint, capture: object) -> None:
    labels = [{"id": "a", "label": "good"}, {"id": "b", "label": "ugly"}]
    reply = endpoint.feedback(json.dumps({"labels": labels}).encode())
    assert reply.status == 200
    found = read(reply)
    assert found["accepted"] == 1
    assert [(one["index"], one["id"]) for one in found["errors"]] == [(1, "b")]
    assert [label.id for label in capture.kept] == ["a"]  # type: ignore[attr-defined]
    assert endpoint.feedback(b'{"labels": []}').status == 400
    assert endpoint.feedback(b"[]").status == 400


def test_feedback_that_cannot_be_kept_is_not_acknowledged(endpoint: Endpoint, capture: object) -> None:
    capture.fail = StorageError("the disk is full.")  # type: ignore[attr-defined]
    reply = endpoint.feedback(b'{"labels": [{"id": "a", "label": "good"}]}')
    assert reply.status == 503
    assert (
        read(reply)["error"]["message"]
        == "the labels were not kept, send them again later: the disk is full."
    )


def test_the_status_tells_what_was_done(endpoint: Endpoint) -> None:
    endpoint.predict(body(ROW, {}))
    endpoint.predict(b"")
    endpoint.feedback(b'{"labels": [{"id": "a", "label": "good"}]}')
    found = read(endpoint.status())
    counted = ("n_requests", "n_rows", "n_failed_rows", "n_refused_requests", "n_labels")
    assert [found[name] for name in counted] == [3, 2, 1, 1, 1]
    assert (found["pipeline"], found["version"], found["epoch"], found["replica"]) == ("tiny", "v1", 1, "r1")
    assert found["capture"] == {
        "enabled": True,
        "n_captured": 1,
        "n_not_captured": 0,
        "why_not": None,
        "n_left_out": 0,
    }
    assert found["refused"] is None
    assert found["since"] == found["started_at"] == "2026-01-01T00:00:00+00:00"


def test_the_status_tells_a_refused_version(
    folder: PipelineHome, endpoint: Endpoint, versions: VersionHolder
) -> None:
    write_pointer(folder.pointer, write_tiny_version(folder, "v2", 2))
    (folder.model("v2") / "golden.json").unlink()
    versions.poll()
    refused = read(endpoint.status())["refused"]
    assert (refused["version"], refused["epoch"]) == ("v2", 2)
    assert "golden.json is missing" in refused["message"]


def test_limits_are_those_of_the_settings(make_endpoint: Callable[..., Endpoint]) -> None:
    assert make_endpoint(max_rows=1).predict(body(ROW, ROW)).status == 413
    assert make_endpoint(max_rows=1).feedback(b'{"labels": [1, 2]}').status == 413


def test_requests_answered_together_are_kept_by_one_append(
    endpoint: Endpoint, capture: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    appends: list[int] = []
    keep = capture.predictions  # type: ignore[attr-defined]

    def counted(rows: list, version: str, at: object) -> None:
        appends.append(len(rows))
        keep(rows, version, at)

    monkeypatch.setattr(capture, "predictions", counted)
    replies = endpoint.predict_all([body(ROW), b"{", body({}, ROW, ids=["a", "b"]), body({})])
    assert [reply.status for reply in replies] == [200, 400, 200, 422]
    assert appends == [2]
    assert [row.id for row in capture.rows] == ["r1-0", "b"]  # type: ignore[attr-defined]
    assert (endpoint.counters.n_requests, endpoint.counters.n_rows) == (4, 4)
    assert (endpoint.counters.n_failed_rows, endpoint.counters.n_refused_requests) == (2, 1)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none(), max_size=1)
rows = st.dictionaries(st.sampled_from([*ROW, "seen", "note", "other"]), values) | st.fixed_dictionaries(
    {
        "size": st.integers(-(2**63), 2**63 - 1),
        "colour": st.text(st.characters(exclude_categories=["Cs"])),
        "member": st.booleans(),
    },
    optional={
        "amount": st.floats(allow_nan=False, allow_infinity=False),
        "seen": st.datetimes().map(lambda time: time.isoformat()),
    },
)


@settings(max_examples=200)
@given(st.lists(rows, max_size=70))
def test_whatever_is_sent_is_answered_without_an_exception(shared_endpoint: Endpoint, sent: list) -> None:
    reply = shared_endpoint.predict(body(*sent))
    assert reply.status in (200, 400, 422)
    found = read(reply)
    assert ("error" in found) == (reply.status == 400)


@settings(max_examples=100)
@given(st.lists(st.lists(rows, max_size=5), max_size=6))
def test_together_is_answered_as_alone(shared_endpoint: Endpoint, requests: list) -> None:
    bodies = [body(*sent) for sent in requests]
    together = shared_endpoint.predict_all(bodies)
    alone = [shared_endpoint.predict(one) for one in bodies]
    assert [without_ids(one) for one in together] == [without_ids(one) for one in alone]


def without_ids(reply: Reply) -> tuple[int, object]:
    found = read(reply)
    if "predictions" in found:
        found["predictions"] = [{**one, "id": ""} for one in found["predictions"]]
    return reply.status, found


@pytest.fixture(scope="module")
def shared_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    from functools import partial

    from raypipe.core.home import Home
    from raypipe.serving.capture import CaptureState
    from raypipe.serving.config import ServingSettings
    from raypipe.serving.swap import load_version
    from raypipe.testing import FakeClock

    class Forgets:
        def predictions(self, *_: object) -> None: ...
        def labels(self, *_: object) -> None: ...
        def close(self) -> None: ...
        def state(self) -> CaptureState:
            return CaptureState(False)

    folder = Home(tmp_path_factory.mktemp("home")).pipeline("tiny")
    write_pointer(folder.pointer, write_tiny_version(folder, "v1", 1))
    holder = VersionHolder(folder.pointer, partial(load_version, folder), FakeClock())
    return Endpoint(
        "tiny", ServingSettings(), versions=holder, capture=Forgets(), clock=FakeClock(), replica="r2"
    )
