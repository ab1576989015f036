"""Requests to one endpoint over kept connections, sent again where the answer is lost on the way."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from raypipe.core.errors import ConfigError, EndpointUnavailable, NotAllowed, ServingError
from raypipe.core.ids import Json

PASSING = (408, 429, 502, 503, 504)
"""What is answered where the same request may be answered a little later."""
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 8.0
LONGEST_RETRY_AFTER_S = 60.0
_BLOCK_BYTES = 256 * 1024
_POOL = re.compile(r"^HTTPS?Connection(Pool)?\(.*?\): ")
"""What urllib3 begins its messages with."""


class BodyTooLarge(ServingError):
    """The endpoint takes fewer rows or bytes at once."""


@dataclass(frozen=True)
class Patience:
    """How long one try may take, and how many follow the first."""

    timeout_s: float
    max_retries: int

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be > 0 seconds. Got {self.timeout_s!r}.")
        if not self.max_retries >= 0:
            raise ConfigError(f"max_retries must be >= 0. Got {self.max_retries!r}.")


class _Lost(Exception):
    """No whole answer came, or one that asks for patience; `after_s` is how long it asks for."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Connection:
    """Asks one endpoint; safe to use from several threads.

    `wait` waits for some seconds, unless the connection is closed before.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        patience: Patience,
        *,
        n_connections: int = 1,
        wait: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url, origin, self._path = _parts(url)
        self._patience = patience
        self._closed = threading.Event()
        self._wait = self._closed.wait if wait is None else wait
        self._jitter = jitter
        self._pool = urllib3.connection_from_url(
            origin, timeout=patience.timeout_s, maxsize=n_connections, retries=False
        )
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    @property
    def url(self) -> str:
        """The endpoint's address, without a slash at its end."""
        return self._url

    def close(self) -> None:
        """Close what is kept open; requests that wait for their next try give up."""
        self._closed.set()
        self._pool.close()

    def check_open(self) -> None:
        """Raise ServingError once it is closed."""
        if self._closed.is_set():
            raise ServingError(f"the client of {self._url} is closed; make a new one.")

    def ask(self, method: str, route: str, body: bytes | None = None) -> Json:
        """Return the JSON of an answer of 200, or of 422, in which every item failed by itself.

        Raises BodyTooLarge, NotAllowed, EndpointUnavailable and, for other refusals, ServingError.
        """
        n_tries = self._patience.max_retries + 1
        for number in range(n_tries):
            self.check_open()
            try:
                return self._once(method, route, body)
            except _Lost as lost:
                why = str(lost)
                if number + 1 < n_tries:
                    self._wait(self._pause_s(number, lost.after_s))
        tries = f"{n_tries} tries" if n_tries > 1 else "one try"
        raise EndpointUnavailable(f"the endpoint {self._url} does not answer, after {tries}: {why}.")

    def _pause_s(self, number: int, after_s: float | None) -> float:
        most = min(FIRST_WAIT_S * 2.0**number, LONGEST_WAIT_S)
        own = most * (0.5 + self._jitter() / 2)
        return own if after_s is None else max(own, min(after_s, LONGEST_RETRY_AFTER_S))

    def _once(self, method: str, route: str, body: bytes | None) -> Json:
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        deadline = time.monotonic() + self._patience.timeout_s
        try:
            response = self._pool.urlopen(
                method,
                f"{self._path}/{route}",
                body,
                headers,
                redirect=False,
                preload_content=False,
            )
            try:
                data = self._read(response, deadline)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (HTTPError, OSError) as error:
            raise _Lost(_reason(error, self._patience.timeout_s)) from error
        return self._told(response, data)

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        blocks = list[bytes]()
        while block := response.read1(_BLOCK_BYTES):
            blocks.append(block)
            if time.monotonic() > deadline:
                raise _Lost(f"the answer takes longer than {self._patience.timeout_s:g} seconds")
        return b"".join(blocks)

    def _told(self, response: urllib3.BaseHTTPResponse, data: bytes) -> Json:
        status, value, is_json = response.status, None, True
        try:
            value = json.loads(data)
        except ValueError:
            is_json = False
        if status in (200, 422):
            if not is_json:
                raise _Lost(f"the answer breaks off after {len(data):,} bytes, or is no JSON")
            if "error" not in (value if isinstance(value, dict) else {}):
                return value
        said = _message(value) if is_json else data[:200].decode("utf-8", "replace")
        told = f"{status}: {said}" if said else str(status)
        if status in PASSING:
            raise _Lost(f"it answers {told}".rstrip("."), _retry_after_s(response.headers.get("retry-after")))
        raise _refusal(status)(f"the endpoint {self._url} refuses the request with {told}")


def _parts(url: str) -> tuple[str, str, str]:
    """Return an endpoint's address, its origin and its path."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"url must be an endpoint's, such as http://127.0.0.1:8000/credit. Got {url!r}.")
    if parts.username is not None:
        raise ConfigError("url must hold no name or password; give the token as `token`.")
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return f"{origin}{path}", origin, path


def _refusal(status: int) -> type[ServingError]:
    kinds: dict[int, type[ServingError]] = {401: NotAllowed, 403: NotAllowed, 413: BodyTooLarge}
    return kinds.get(status, ServingError)


def _message(value: Json) -> str:
    match value:
        case {"error": {"message": str(message)}}:
            return message
        case other:
            return str(other)[:200]


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer came within {timeout_s:g} seconds"
    text = str(error.args[-1] if isinstance(error, HTTPError) and error.args else error)
    return _POOL.sub("", text or type(error).__name__).rstrip(".")


def _retry_after_s(header: str | None) -> float | None:
    """Return how long an answer asks to wait, said in seconds or as a date; None where it does not say."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
