"""A replica's counts, exported beside the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable

from raypipe.monitoring.samples import Sample
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.metrics import METRICS, samples, start_export

GOOD = {"amount": 1, "size": 3, "colour": "red", "member": True}
BODY = json.dumps({"rows": [GOOD, {**GOOD, "size": "large"}]}).encode()


def counted(found: list[Sample]) -> dict[str, float | None]:
    assert {sample.tags for sample in found} == {("tiny",)}
    return {sample.metric.name.removeprefix("raypipe_"): sample.value for sample in found}


def test_before_the_first_request(endpoint: Endpoint) -> None:
    found = counted(list(samples(endpoint)))
    assert len(found) == len(METRICS)
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
    }


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
