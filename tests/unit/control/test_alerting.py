"""Alerts: to the log, and to a real webhook on loopback."""

from __future__ import annotations

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from raypipe.control.alerting import LogAndWebhook
from raypipe.control.events import Evidence, Quality

EVIDENCE = Evidence(n_labels=900, quality=Quality("auc", True, 0.6, None, 0.64, 500), quality_bound=0.8)
KEY = "flights/quality/v1/2026-01-01"


@dataclass
class Webhook:
    """A server that answers with a status, or with what is no HTTP."""

    url: str = ""
    status: int = 200
    garbage: bytes = b""
    got: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Webhook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if state.garbage:
                self.wfile.write(state.garbage)
                return
            self.send_response(state.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/alerts"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_webhook_the_log_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "raypipe.alerts"):
        assert LogAndWebhook("flights", None).send(KEY, "quality is low", Evidence())
    assert "flights: quality is low" in caplog.text and KEY in caplog.text


def test_the_webhook_gets_what_was_known(webhook: Webhook) -> None:
    assert LogAndWebhook("flights", webhook.url).send(KEY, "quality is low", EVIDENCE)
    [(headers, body)] = webhook.got
    assert headers["idempotency-key"] == body["key"] == KEY
    assert headers["content-type"] == "application/json"
    assert (body["pipeline"], body["text"]) == ("flights", "quality is low")
    evidence = body["evidence"]
    assert isinstance(evidence, dict)
    assert (evidence["n_labels"], evidence["quality"]["low"]) == (900, None)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_webhook_that_refuses_has_not_got_it(
    webhook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = status
    assert not LogAndWebhook("flights", webhook.url).send(KEY, "", Evidence())
    assert f"did not take the alert {KEY}" in caplog.text


@pytest.mark.parametrize("garbage", [b"what?\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_webhook_that_speaks_no_http_has_not_got_it(webhook: Webhook, garbage: bytes) -> None:
    webhook.garbage = garbage
    assert not LogAndWebhook("flights", webhook.url).send(KEY, "", Evidence())


def test_a_webhook_that_is_not_there_has_not_got_it() -> None:
    assert not LogAndWebhook("flights", "http://127.0.0.1:1/alerts").send(KEY, "", Evidence())
    assert not LogAndWebhook("flights", "http://[broken/alerts").send(KEY, "", Evidence())
