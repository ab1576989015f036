"""Traffic without an endpoint: the pace, labels that come late, and what is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from raypipe.api.traffic import MAX_WAITING, LateLabels, Pace, Traffic, labels_of
from raypipe.core.errors import ServingError
from raypipe.core.ids import Json
from raypipe.serving.client import EndpointReply


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


class FakeEndpoint:
    """Answers each row with its own `x`, refuses requests on demand, and keeps the labels."""

    def __init__(self, fails: Callable[[Json], bool] = lambda _: False) -> None:
        self.fails = fails
        self.deaf = False
        self.labels: list[Json] = []
        self.lock = threading.Lock()

    def __call__(self, route: str, body: Json) -> EndpointReply:
        assert isinstance(body, Mapping)
        if route == "feedback":
            return self._keep(body["labels"])
        rows = body["rows"]
        assert isinstance(rows, list)
        if self.fails(rows):
            raise ServingError("nobody answers")
        return EndpointReply(200, {"version": "v1", "predictions": [_answer(row) for row in rows]})

    def _keep(self, labels: Json) -> EndpointReply:
        assert isinstance(labels, list)
        if self.deaf:
            return EndpointReply(503, {"error": {"message": "full"}})
        with self.lock:
            self.labels += labels
        return EndpointReply(200, {"accepted": len(labels), "errors": []})


def _answer(row: Json) -> Json:
    assert isinstance(row, Mapping)
    x = row["x"]
    return {"id": f"id-{x}", "error": {}} if x == "bad" else {"id": f"id-{x}", "prediction": x}


def test_the_pace_is_kept_and_may_change() -> None:
    clock = Clock()
    pace = Pace(10, monotonic=clock, sleep=clock.sleep)
    for _ in range(3):
        pace.wait()
    assert clock.slept == [0.1, 0.1]
    pace.per_s = 2
    pace.wait(4)
    pace.wait()
    assert clock.slept == [0.1, 0.1, 0.1, 2.0], "four units at two a second take two seconds"
    assert pace.elapsed_s == pytest.approx(2.3)


def test_what_is_late_is_made_up_for() -> None:
    clock = Clock()
    pace = Pace(10, monotonic=clock, sleep=clock.sleep)
    pace.wait()
    clock.now += 0.25
    for _ in range(4):
        pace.wait()
    assert clock.slept == [0.05, 0.1]


def test_labels_wait_until_they_are_due_and_are_sent_again_where_they_did_not_arrive() -> None:
    clock, endpoint = Clock(), FakeEndpoint()
    labels = LateLabels(endpoint, 10.0, clock)
    labels.add(["a", "b"])
    clock.now += 1
    labels.add(["c"])
    clock.now += 8.9
    labels.send_due()
    assert endpoint.labels == []
    clock.now += 0.2
    endpoint.deaf = True
    labels.send_due()
    assert (endpoint.labels, labels.n_waiting) == ([], 3)
    endpoint.deaf = False
    labels.send_due()
    assert (endpoint.labels, labels.n_waiting) == (["a", "b"], 1)
    clock.now += 1
    labels.send_due()
    assert (endpoint.labels, labels.n_waiting) == (["a", "b", "c"], 0)


def test_labels_that_are_refused_are_counted_and_not_sent_again() -> None:
    refused = EndpointReply(422, {"accepted": 0, "errors": [{"index": 0}, {"index": 1}]})
    labels = LateLabels(lambda *_: refused, 0.0, Clock())
    labels.add(["a", "b"])
    labels.send_due()
    assert (labels.n_refused, labels.n_waiting) == (2, 0)


def test_answers_are_handed_on_counted_and_labelled() -> None:
    endpoint, taken = FakeEndpoint(lambda rows: {"x": 7} in rows), dict[int, Json]()
    with Traffic(endpoint, 0.0) as traffic:
        for n in range(10):
            traffic.send([{"x": n}], [f"label-{n}"], lambda version, answers, n=n: taken.update({n: version}))
        assert traffic.settle(5.0)
    assert (traffic.n_requests, traffic.n_failed, traffic.version) == (10, 1, "v1")
    assert sorted(taken) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    expected = [{"id": f"id-{n}", "label": f"label-{n}"} for n in range(10) if n != 7]
    assert sorted(endpoint.labels, key=str) == expected


def test_labels_that_never_arrive_are_not_waited_for_longer_than_told() -> None:
    endpoint = FakeEndpoint()
    endpoint.deaf = True
    with Traffic(endpoint, 0.0) as traffic:
        traffic.send([{"x": 1}], ["a"], lambda *_: None)
        assert not traffic.settle(0.2)
    assert traffic.labels.n_waiting == 1


def test_a_slow_endpoint_is_not_asked_ever_more() -> None:
    go, endpoint, begun = threading.Event(), FakeEndpoint(), list[int]()

    def slow(route: str, body: Json) -> EndpointReply:
        go.wait()
        return endpoint(route, body)

    with Traffic(slow, 9.0) as traffic:

        def send_all() -> None:
            for n in range(MAX_WAITING + 1):
                begun.append(n)
                traffic.send([{"x": n}], [n], lambda *_: None)

        sender = threading.Thread(target=send_all)
        sender.start()
        try:
            while len(begun) <= MAX_WAITING:
                sender.join(0.01)
            assert sender.is_alive(), "the last request waits until one of the others was answered"
        finally:
            go.set()
            sender.join()
    assert (traffic.n_requests, traffic.n_failed) == (MAX_WAITING + 1, 0)


def test_an_error_of_whoever_takes_the_answers_is_not_lost() -> None:
    def take(*_: object) -> None:
        raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"), Traffic(FakeEndpoint(), 0.0) as traffic:
        traffic.send([{"x": 1}], ["a"], take)
        traffic.settle(1.0)


def test_only_rows_that_were_answered_get_their_labels() -> None:
    answers = [_answer({"x": x}) for x in (1, "bad", 2)]
    assert labels_of(answers, ["a", "b", "c"]) == [{"id": "id-1", "label": "a"}, {"id": "id-2", "label": "c"}]
