"""Telling people: the log always, and a webhook where one is configured."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import cast

import msgspec

from raypipe.control.events import Evidence
from raypipe.core.ids import Json

TIMEOUT_S = 5.0
_log = logging.getLogger("raypipe.alerts")


class LogAndWebhook:
    """Writes each alert to the log, and posts it as JSON: `{"key", "pipeline", "text", "evidence"}`.

    The webhook gets each alert at least once; `key` tells repetitions, and is the `Idempotency-Key` header.
    An alert that asks for approval has a `link` too, which is in no log: whoever has it may answer.
    """

    def __init__(
        self, pipeline: str, webhook: str | None, link_of: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self._pipeline = pipeline
        self._webhook = webhook
        self._link_of = link_of

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        """Tell, and return whether the webhook (if any) took it."""
        _log.warning("%s: %s [%s]", self._pipeline, text, key)
        if self._webhook is None:
            return True
        told = cast("Json", msgspec.to_builtins(evidence))
        alert: dict[str, Json] = {"key": key, "pipeline": self._pipeline, "text": text, "evidence": told}
        link = self._link_of(key)
        body = json.dumps(alert if link is None else {**alert, "link": link}).encode()
        headers = {"content-type": "application/json", "idempotency-key": key}
        try:
            request = urllib.request.Request(self._webhook, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                return True
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            _log.warning("the webhook %s did not take the alert %s: %s", self._webhook, key, error)
            return False
