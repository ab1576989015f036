"""What a replica counts, for display."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event, Thread

from raypipe.monitoring.samples import Metric, Sample
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.usage import Usage

EXPORT_INTERVAL_S = 5.0

REQUESTS = Metric("raypipe_requests", "counter", "Requests to predict or to keep labels, refused ones too.")
REFUSED = Metric("raypipe_refused_requests", "counter", "Requests that were refused as a whole.")
ROWS = Metric("raypipe_rows", "counter", "Rows in answered requests.")
FAILED_ROWS = Metric("raypipe_failed_rows", "counter", "Rows that were answered with an error.")
LABELS = Metric("raypipe_labels", "counter", "Labels that were kept.")
CAPTURED = Metric("raypipe_captured_rows", "counter", "Answered rows that were kept.")
NOT_CAPTURED = Metric("raypipe_not_captured_rows", "counter", "Answered rows that could not be kept.")
REPLICAS = Metric("raypipe_replicas", "gauge", "1 from each replica that answers: their sum is how many.")
IN_PROGRESS = Metric("raypipe_requests_in_progress", "gauge", "Requests that are read and not answered yet.")
BYTES = Metric("raypipe_request_bytes", "counter", "Bytes of the bodies of requests.")
LATENCY = Metric(
    "raypipe_latency_s",
    "gauge",
    "Quantiles of a replica's newest latencies, from a body's last byte to its answer.",
    ("pipeline", "quantile"),
)
CALLERS = Metric(
    "raypipe_caller_requests",
    "counter",
    "Requests by the product that their User-Agent names.",
    ("pipeline", "caller"),
)
METRICS = (
    REQUESTS,
    REFUSED,
    ROWS,
    FAILED_ROWS,
    LABELS,
    CAPTURED,
    NOT_CAPTURED,
    REPLICAS,
    IN_PROGRESS,
    BYTES,
    LATENCY,
    CALLERS,
)


def samples(endpoint: Endpoint) -> Iterator[Sample]:
    """Yield what a replica has counted since it started, and how long its newest answers took."""
    counters, capture = endpoint.counters, endpoint.capture_state
    for metric, value in (
        (REQUESTS, counters.n_requests),
        (REFUSED, counters.n_refused_requests),
        (ROWS, counters.n_rows),
        (FAILED_ROWS, counters.n_failed_rows),
        (LABELS, counters.n_labels),
        (CAPTURED, capture.n_captured),
        (NOT_CAPTURED, capture.n_not_captured),
    ):
        yield metric.of(value, endpoint.name)
    yield from _usage(endpoint.name, endpoint.usage)


def _usage(name: str, usage: Usage) -> Iterator[Sample]:
    yield REPLICAS.of(1, name)
    yield IN_PROGRESS.of(usage.n_in_progress, name)
    yield BYTES.of(usage.n_bytes, name)
    for quantile, value in usage.latency_s().items():
        yield LATENCY.of(value, name, f"{quantile:g}")
    for caller, n in usage.callers().items():
        yield CALLERS.of(n, name, caller)


def start_export(
    endpoint: Endpoint, export: Callable[[Iterable[Sample]], None], interval_s: float = EXPORT_INTERVAL_S
) -> Event:
    """Export again and again in a thread of its own, away from the requests, until the event is set."""
    stop = Event()

    def run() -> None:
        while not stop.wait(interval_s):
            export(samples(endpoint))

    Thread(target=run, name="metrics", daemon=True).start()
    return stop
