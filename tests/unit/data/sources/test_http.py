"""An HTTP API as a source: its ways of paging, its failures, and what it may not make us do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json
from raypipe.data.sources.config import HttpSettings
from raypipe.data.sources.http_api import HttpSource
from raypipe.data.sources.http_pages import link_of
from raypipe.data.sources.rows import read_canonical
from raypipe.data.sources.source import Piece


@dataclass(frozen=True)
class Request:
    """What the API was asked."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """What it answers; `cut` bytes of the body are withheld as the connection breaks."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Api:
    """`answer` is called for each request; `asked` holds them all."""

    url: str
    answer: Callable[[Request], Reply] = lambda _: Reply([])
    asked: list[Request] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            request = Request(parts.path, dict(parse_qsl(parts.query)), dict(self.headers))
            found.asked.append(request)
            reply = found.answer(request)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("content-length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) - reply.cut])
            self.close_connection = bool(reply.cut)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    found = Api(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


ROWS = [{"id": n, "x": n / 2} for n in range(1, 8)]


def source(api: Api, path: str = "/rows", **more: Any) -> HttpSource:
    declared = {"name": "s", "format": "http", "url": api.url + path, "backoff_s": 0, **more}
    return HttpSource(HttpSettings.model_validate(declared))


def ids(found: HttpSource, after: Json = None) -> list[list[int]]:
    return [found.read(piece)["id"].to_pylist() for piece in list(found.pieces(after))]


def by_page(request: Request) -> Reply:
    start = 3 * (int(request.query["page"]) - 1)
    return Reply({"data": {"items": ROWS[start : start + 3]}})


def after_id(request: Request) -> Reply:
    return Reply([row for row in ROWS if row["id"] > int(request.query.get("after", 0))][:3])


def test_one_answer_with_parameters_and_headers(api: Api) -> None:
    api.answer = lambda _: Reply(ROWS)
    found = source(api, "/rows?a=1", parameters={"full": True, "n": 5}, headers={"Authorization": "Bearer x"})
    assert ids(found) == [[1, 2, 3, 4, 5, 6, 7]]
    (request,) = api.asked
    assert (request.path, request.query) == ("/rows", {"a": "1", "full": "true", "n": "5"})
    assert {name.lower(): value for name, value in request.headers.items()}["authorization"] == "Bearer x"
    assert (found.delivery, found.because) == ("exactly once", "one answer, read anew each time")


def test_pages_by_number(api: Api) -> None:
    api.answer = by_page
    found = source(api, records="data.items", pagination={"by": "page"})
    assert ids(found) == [[1, 2, 3], [4, 5, 6], [7]]
    assert [request.query["page"] for request in api.asked] == ["1", "2", "3", "4"]
    assert found.delivery == "at least once"


def test_pages_by_a_link_in_the_body(api: Api) -> None:
    def answer(request: Request) -> Reply:
        start = int(request.query.get("from", 0))
        more = start + 3 < len(ROWS)
        link = f"/other?from={start + 3}" if start else f"{api.url}/rows?from={start + 3}"
        return Reply({"rows": ROWS[start : start + 3], "links": {"next": link if more else None}})

    api.answer = answer
    found = source(api, records="rows", pagination={"by": "link", "path": "links.next"})
    assert ids(found) == [[1, 2, 3], [4, 5, 6], [7]]
    assert [request.path for request in api.asked] == ["/rows", "/rows", "/other"]


def test_pages_by_the_link_header(api: Api) -> None:
    def answer(request: Request) -> Reply:
        first = "p" not in request.query
        link = '<?p=0>; rel="prev", <?p=2>; rel="next"' if first else '<?p=0>; rel="first"'
        return Reply(ROWS[:1] if first else ROWS[1:2], headers={"Link": link})

    api.answer = answer
    assert ids(source(api, pagination={"by": "link"})) == [[1], [2]]


def test_pages_by_a_token(api: Api) -> None:
    def answer(request: Request) -> Reply:
        start = int(request.query.get("c", 0))
        return Reply({"rows": ROWS[start : start + 4], "next": str(start + 4) if start == 0 else ""})

    api.answer = answer
    found = source(api, records="rows", pagination={"by": "cursor", "parameter": "c", "path": "next"})
    assert ids(found) == [[1, 2, 3, 4], [5, 6, 7]]
    assert found.is_appended is False


def test_after_the_last_record_only_what_is_new_comes(api: Api) -> None:
    api.answer = after_id
    found = source(api, pagination={"by": "cursor", "parameter": "after", "field": "id"})
    assert [piece.position for piece in found.pieces(None)] == [3, 6, 7]
    assert ids(found, after=6) == [[7]]
    assert ids(found, after=7) == []
    assert (found.is_appended, found.delivery) == (True, "exactly once")


def test_a_page_is_asked_for_once_and_by_another_process_again(api: Api) -> None:
    api.answer = after_id
    found = source(api, pagination={"by": "cursor", "parameter": "after", "field": "id"})
    pieces = list(found.pieces(None))
    n_asked = len(api.asked)
    assert found.read(pieces[1])["id"].to_pylist() == [4, 5, 6]
    assert len(api.asked) == n_asked
    elsewhere = source(api, pagination={"by": "cursor", "parameter": "after", "field": "id"})
    assert elsewhere.read(pieces[1])["id"].to_pylist() == [4, 5, 6]
    api.answer = lambda _: Reply([{"id": 9}])
    with pytest.raises(SourceError, match="page 2 of source s changed since it was listed"):
        elsewhere.read(pieces[1])


def test_pages_that_were_read_can_be_listed_again(api: Api) -> None:
    api.answer = lambda _: Reply(ROWS)
    found = source(api)
    first, second = (next(found.pieces(None)) for _ in range(2))
    assert first == second and isinstance(first, Piece)
    assert read_canonical(found, second, {}, ()).table.num_rows == 7


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(api: Api, status: int) -> None:
    api.answer = lambda _: Reply(ROWS) if len(api.asked) > 2 else Reply("busy", status)
    assert ids(source(api, retries=2)) == [[1, 2, 3, 4, 5, 6, 7]]
    api.asked.clear()
    api.answer = lambda _: Reply("busy", status)
    with pytest.raises(SourceError, match=rf"{api.url}/rows of source s answers with {status}"):
        ids(source(api, retries=2))
    assert len(api.asked) == 3


def test_retry_after_is_waited_for(api: Api) -> None:
    """The API answers nothing before the second it asked for is over, and there is one repetition."""
    free_at: list[float] = []

    def answer(_: Request) -> Reply:
        if not free_at:
            free_at.append(time.monotonic() + 0.9)
        early = time.monotonic() < free_at[0]
        return Reply("slow down", 429, {"Retry-After": "1"}) if early else Reply(ROWS)

    api.answer = answer
    assert ids(source(api, retries=1)) == [[1, 2, 3, 4, 5, 6, 7]]


def test_no_answer_asks_for_a_longer_wait_than_allowed(api: Api) -> None:
    api.answer = lambda _: Reply(ROWS) if len(api.asked) > 1 else Reply("", 503, {"Retry-After": "86400"})
    assert ids(source(api, max_wait_s=0)) == [[1, 2, 3, 4, 5, 6, 7]]


def test_an_answer_that_breaks_off_is_asked_for_again(api: Api) -> None:
    api.answer = lambda _: Reply(ROWS, cut=5 if len(api.asked) < 3 else 0)
    assert ids(source(api, retries=2)) == [[1, 2, 3, 4, 5, 6, 7]]
    api.answer = lambda _: Reply(ROWS, cut=5)
    with pytest.raises(SourceError, match="of source s breaks off"):
        ids(source(api, retries=1))


def test_what_stays_wrong_is_asked_once(api: Api) -> None:
    api.answer = lambda _: Reply({"error": "no such key: tok-123"}, 403)
    with pytest.raises(SourceError, match=r"answers with 403: .*no such key: \*\*\*") as caught:
        ids(source(api, headers={"x-key": "tok-123"}))
    assert len(api.asked) == 1
    assert "tok-123" not in str(caught.value)


def test_nobody_there(api: Api) -> None:
    nobody = HttpSettings(name="s", format="http", url="http://127.0.0.1:1/x", retries=1, backoff_s=0)
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:1/x of source s does not answer"):
        list(HttpSource(nobody).pieces(None))


def test_no_other_host_is_asked(api: Api) -> None:
    api.answer = lambda _: Reply("", 302, {"Location": "http://127.0.0.2:9/rows"})
    with pytest.raises(SourceError, match="leads to another host"):
        ids(source(api, headers={"Authorization": "secret"}))
    api.answer = lambda _: Reply({"rows": ROWS, "next": "http://127.0.0.2:9/rows"})
    with pytest.raises(SourceError, match=r"must be at http://127\.0\.0\.1:\d+, as the first one"):
        ids(source(api, records="rows", pagination={"by": "link", "path": "next"}))


def test_a_redirect_within_the_host_is_followed(api: Api) -> None:
    api.answer = lambda request: Reply(ROWS) if request.path == "/v2" else Reply("", 302, {"Location": "/v2"})
    assert ids(source(api, retries=0)) == [[1, 2, 3, 4, 5, 6, 7]]


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    api.answer = lambda _: Reply(b"[" + b" " * 3_000_000 + b"]")
    with pytest.raises(SourceError, match="more than max_page_bytes 2,000,000; ask for smaller pages"):
        ids(source(api, max_page_bytes=2_000_000))


def test_pages_without_end_are_refused(api: Api) -> None:
    api.answer = lambda _: Reply({"rows": ROWS, "next": "/rows?p=1"})
    with pytest.raises(SourceError, match=r"page 2 of .* names a page before it as the next one"):
        ids(source(api, records="rows", pagination={"by": "link", "path": "next"}))
    api.answer = lambda request: Reply(ROWS)
    with pytest.raises(SourceError, match="source s has more than max_pages 5 pages"):
        ids(source(api, pagination={"by": "page"}, max_pages=5))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>", "must answer with JSON. Got b'<html>'"),
        (
            {"rows": {"a": 1}},
            "a list of objects at `rows`. Got an object with a; correct `records`",
        ),
        ({"row": []}, "a list of objects at `rows`. Got None"),
        ({"rows": [1]}, r"a list of objects at `rows`. Got \[1\]"),
        ({"rows": []}, "source s has no rows: .* answers without records"),
    ],
)
def test_what_is_not_as_declared_is_told(api: Api, body: Any, sentence: str) -> None:
    api.answer = lambda _: Reply(body)
    with pytest.raises(SourceError, match=sentence):
        ids(source(api, records="rows"))


def test_a_record_without_the_cursor_is_told(api: Api) -> None:
    api.answer = lambda _: Reply([{"x": 1}])
    with pytest.raises(SourceError, match="the field 'id' of each record of source s must be text or a"):
        ids(source(api, pagination={"by": "cursor", "parameter": "after", "field": "id"}))


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('<https://a/b?page=2>; rel="next"', "https://a/b?page=2"),
        ('<a>; rel="last", <b>; title="x"; rel=next', "b"),
        ('<a>; rel="prev"', None),
        (None, None),
    ],
)
def test_the_next_of_a_link_header(header: str | None, link: str | None) -> None:
    assert link_of(header) == link
