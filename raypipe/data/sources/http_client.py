"""Asking one host, with a finite patience and for a finite answer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HostChangedError, HTTPError, MaxRetryError

from raypipe.core.errors import SourceError
from raypipe.data.sources.config import HttpSettings
from raypipe.data.sources.http_pages import link_of
from raypipe.data.sources.places import masked, without

_PASSING = (429, 500, 502, 503, 504)
_REDIRECTS = 5
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """The body of an answer, and the next page's address if a header names one."""

    body: bytes
    link: str | None


class HttpClient:
    """Connections to the host of a source's URL, and to no other."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        parts = urlsplit(settings.url)
        self._pool = urllib3.connection_from_url(
            f"{parts.scheme}://{parts.netloc}", timeout=settings.timeout_s, maxsize=1
        )
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": f"raypipe/{version('raypipe')}",
            **{name.lower(): value for name, value in settings.headers.items()},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def get(self, target: str) -> Answer:
        """Ask for a path and query; raises SourceError."""
        retries = self._retries()
        while True:
            try:
                return self._get(target, retries)
            except HostChangedError as error:
                raise self._refused(f"leads to another host: {masked(str(error))}") from error
            except MaxRetryError as error:
                raise self._refused(f"does not answer: {error.reason}") from error
            except HTTPError as error:
                retries = self._once_more(retries, target, error)

    def _get(self, target: str, retries: urllib3.Retry) -> Answer:
        response = self._pool.urlopen(
            "GET", target, headers=self._headers, retries=retries, preload_content=False
        )
        try:
            body = self._body(response)
            if response.status != 200:
                said = body[:100].decode("utf-8", "replace")
                raise self._refused(f"answers with {response.status}: {said!r}")
            return Answer(body, link_of(response.headers.get("link")))
        finally:
            response.close()

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        body, most = bytearray(), self._settings.max_page_bytes
        while block := response.read(_BLOCK_BYTES):
            body += block
            if len(body) > most:
                raise self._refused(f"answers with more than max_page_bytes {most:,}; ask for smaller pages")
        return bytes(body)

    def _once_more(self, retries: urllib3.Retry, target: str, error: HTTPError) -> urllib3.Retry:
        """Wait before an answer that broke off is asked for again."""
        try:
            left = retries.increment("GET", target, error=error, _pool=self._pool)
        except HTTPError as last:
            raise self._refused(f"breaks off: {error}") from last
        left.sleep()
        return left

    def _retries(self) -> urllib3.Retry:
        most = self._settings.retries
        return urllib3.Retry(
            total=None,
            connect=most,
            read=most,
            status=most,
            other=most,
            redirect=_REDIRECTS,
            status_forcelist=_PASSING,
            backoff_factor=self._settings.backoff_s,
            backoff_max=self._settings.max_wait_s,
            retry_after_max=int(self._settings.max_wait_s),
            raise_on_status=False,
        )

    def _refused(self, why: str) -> SourceError:
        for secret in self._settings.headers.values():
            why = without(secret, why)
        return SourceError(f"{masked(self._settings.url)} of source {self._settings.name} {why}.")
