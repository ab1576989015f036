"""What a page of an API holds, and which one comes after it; nothing here asks anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import msgspec

from raypipe.core.errors import SourceError
from raypipe.core.ids import Json
from raypipe.data.sources.config import CursorPagination, HttpSettings, LinkPagination, PagePagination
from raypipe.data.sources.places import masked

_NEXT = re.compile(r'<([^>]+)>(?=[^,]*;\s*rel="?next"?)', re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """An answer; `start` is what it was asked for with, None for the first page."""

    start: Json
    body: bytes
    records: Sequence[Mapping[str, Any]]
    last: Json
    """The last record's value of the cursor's field, where the config names one."""
    token: Json
    """What the body names as the next page's token or address."""
    link: str | None
    """The address that the header names as the next page's."""


def target_of(settings: HttpSettings, start: Json) -> str:
    """Return the path and query of a page."""
    parts = urlsplit(settings.url)
    query: dict[str, object] = {**dict(parse_qsl(parts.query)), **settings.parameters}
    pagination = settings.pagination
    match start, pagination:
        case {"link": str(link)}, _:
            return link
        case {"cursor": cursor}, CursorPagination(parameter=name):
            query[name] = cursor
        case {"page": int(page)}, PagePagination(parameter=name):
            query[name] = page
        case _, PagePagination(parameter=name, first=first):
            query[name] = first
    text = urlencode({name: _spelled(value) for name, value in query.items()})
    return (parts.path or "/") + (f"?{text}" if text else "")


def page_of(settings: HttpSettings, start: Json, body: bytes, link: str | None) -> Page:
    """Read an answer; raises SourceError where there are no records where the config says."""
    where = masked(settings.url)
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError(f"{where} must answer with JSON. Got {body[:60]!r}: {error}.") from error
    records = _at(answer, settings.records)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        place = f"`{settings.records}`" if settings.records else "the body"
        raise SourceError(
            f"{where} must answer with a list of objects at {place}. Got {_shown(records)}; correct "
            f"`records` of source {settings.name}."
        )
    pagination = settings.pagination
    path = pagination.path if isinstance(pagination, LinkPagination | CursorPagination) else None
    return Page(
        start=start,
        body=body,
        records=records,
        last=_last(settings, records),
        token=_at(answer, path) if path else None,
        link=link,
    )


def next_start(settings: HttpSettings, page: Page) -> Json:
    """Return what the next page is asked for with, None after the last one; raises SourceError."""
    pagination = settings.pagination
    match pagination:
        case None:
            return None
        case PagePagination():
            return {"page": _number(page, pagination) + 1} if page.records else None
        case LinkPagination():
            link = page.token if pagination.path else page.link
            return {"link": _own(settings, link, page)} if isinstance(link, str) and link else None
        case CursorPagination():
            token = page.last if pagination.field else page.token
            return None if token in (None, "") else {"cursor": token}
        case never:
            assert_never(never)


def link_of(header: str | None) -> str | None:
    """Return the address that a `Link` header gives as the next page's."""
    found = _NEXT.search(header or "")
    return found[1] if found else None


def _number(page: Page, pagination: PagePagination) -> int:
    match page.start:
        case {"page": int(number)}:
            return number
        case _:
            return pagination.first


def _own(settings: HttpSettings, link: str, page: Page) -> str:
    """Return the path and query of a link that stays at the config's host."""
    here = urlsplit(urljoin(settings.url, target_of(settings, page.start)))
    there = urlsplit(urljoin(here.geturl(), link))
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise SourceError(
            f"the next page of source {settings.name} must be at {here.scheme}://{here.netloc}, as the first "
            f"one. Got {masked(link)!r}; no other host is asked."
        )
    return there.path + (f"?{there.query}" if there.query else "")


def _last(settings: HttpSettings, records: Sequence[Mapping[str, Any]]) -> Json:
    pagination = settings.pagination
    if not isinstance(pagination, CursorPagination) or pagination.field is None or not records:
        return None
    value = records[-1].get(pagination.field)
    if not isinstance(value, str | int | float):
        raise SourceError(
            f"the field {pagination.field!r} of each record of source {settings.name} must be text or a "
            f"number, for the next page begins after it. Got {value!r}."
        )
    return value


def _at(answer: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        answer = answer.get(part) if isinstance(answer, dict) else None
    return answer


def _shown(value: object) -> str:
    return f"an object with {', '.join(list(value)[:8])}" if isinstance(value, dict) else repr(value)[:60]


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
