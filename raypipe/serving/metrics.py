"""What a replica counts, for display."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event, Thread

from raypipe.monitoring.samples import Metric, Sample
from raypipe.serving.endpoint import Endpoint

EXPORT_INTERVAL_S = 5.0

REQUESTS = Metric("raypipe_requests", "counter", "Requests to predict or to keep labels, refused ones too.")
REFUSED = Metric("raypipe_refused_requests", "counter", "Requests that were refused as a whole.")
ROWS = Metric("raypipe_rows", "counter", "Rows in answered requests.")
FAILED_ROWS = Metric("raypipe_failed_rows", "counter", "Rows that were answered with an error.")
LABELS = Metric("raypipe_labels", "counter", "Labels that were kept.")
CAPTURED = Metric("raypipe_captured_rows", "counter", "Answered rows that were kept.")
NOT_CAPTURED = Metric("raypipe_not_captured_rows", "counter", "Answered rows that could not be kept.")
METRICS = (REQUESTS, REFUSED, ROWS, FAILED_ROWS, LABELS, CAPTURED, NOT_CAPTURED)


def samples(endpoint: Endpoint) -> Iterator[Sample]:
    """Yield what a replica has counted since it started."""
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
