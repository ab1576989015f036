"""A replica's counts, exported beside the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable

from raypipe.monitoring.samples import Sample
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.metrics import METRICS, samples, start_export
from raypipe.serving.usage import MAX_CALLERS

GOOD = {"amount": 1, "size": 3, "colour": "red", "member": True}
BODY = json.dumps({"rows": [GOOD, {**GOOD, "size": "large"}]}).encode()


def counted(found: list[Sample]) -> dict[str, float | None]:
    assert {sample.tags[0] for sample in found} == {"tiny"}
    return {
        sample.metric.name.removeprefix("raypipe_"): sample.value for sample in found if len(sample.tags) == 1
    }


def test_before_the_first_request(endpoint: Endpoint) -> None:
    found = counted(list(samples(endpoint)))
    assert len(found) == len(METRICS) - 2, "no latency, no caller yet"
    assert found.pop("replicas") == 1
    assert set(found.values()) == {0}


def test_requests_rows_and_what_failed(endpoint: Endpoint) -> None:
    endpoint.predict(BODY)
    endpoint.predict(b"no JSON")
    assert counted(list(samples(endpoint))) == {
        "requests": 2,
        "refused_requests": 1,
        "rows": 2,
        "failed_rows": 1,
        "labels": 0,
        "captured_rows": 1,
        "not_captured_rows": 0,
        "replicas": 1,
        "requests_in_progress": 0,
        "request_bytes": 0,
    }


def test_who_asks_how_much_and_how_long_it_takes(endpoint: Endpoint) -> None:
    for n in range(100):
        endpoint.usage.begins(10, b"python-requests/2.32 (x)" if n % 2 else b"curl/8")
        endpoint.usage.ends(n / 1_000)
    endpoint.usage.begins(5, b"")
    found = {(one.metric.name, *one.tags[1:]): one.value for one in samples(endpoint)}
    assert found["raypipe_request_bytes",] == 1_005
    assert found["raypipe_requests_in_progress",] == 1
    assert found["raypipe_latency_s", "0.5"] == 0.05
    assert found["raypipe_latency_s", "0.99"] == 0.099
    assert found["raypipe_caller_requests", "python-requests"] == 50
    assert (found["raypipe_caller_requests", "curl"], found["raypipe_caller_requests", "unnamed"]) == (50, 1)


def test_many_callers_are_few_series(endpoint: Endpoint) -> None:
    for n in range(100):
        endpoint.usage.begins(1, b"client-%d" % n)
    callers = endpoint.usage.callers()
    assert len(callers) == MAX_CALLERS + 1
    assert (callers["client-0"], callers["others"]) == (1, 100 - MAX_CALLERS)


def test_they_are_exported_again_and_again_until_told(endpoint: Endpoint) -> None:
    exported: list[dict[str, float | None]] = []
    twice = threading.Event()

    def export(found: Iterable[Sample]) -> None:
        exported.append(counted(list(found)))
        if len(exported) >= 2:
            twice.set()

    stop = start_export(endpoint, export, interval_s=0.001)
    assert twice.wait(10)
    stop.set()
    assert exported[0]["requests"] == 0
