"""A signed link: it asks, it is answered once, and nothing else opens it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from raypipe.control.events import Approved, Rejected
from raypipe.control.ledger import ANSWERED as READ_AS
from raypipe.control.ledger import read_facts
from raypipe.core.home import Home, PipelineHome
from raypipe.registry.store import Registry
from raypipe.serving.app import EndpointApp
from raypipe.serving.decision_link import ANSWERED, Decisions, Question, Used, link
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.operator import Operator
from raypipe.serving.request import RefusedRequest
from raypipe.serving.token import TokenUnset, WrongToken
from raypipe.testing import FakeClock

KEY = "k" * 64
UNTIL = datetime(2026, 1, 2, tzinfo=UTC)
ASKED = Question("tiny-retrain-1", "v2", UNTIL)


@pytest.fixture
def decisions(tmp_path: Path, clock: FakeClock) -> Decisions:
    home = Home(tmp_path)
    home.prepare()
    home.operator_token.write_text(KEY)
    return Decisions("tiny", Registry(home.registry_url, clock), home.operator_token, clock)


def query(question: Question = ASKED, key: str = KEY) -> bytes:
    return urlsplit(link("http://h/tiny", question, key)).query.encode()


@pytest.mark.parametrize(("said", "kind"), [(b"approve", Approved), (b"reject", Rejected)])
def test_it_asks_and_is_answered_once(decisions: Decisions, said: bytes, kind: type) -> None:
    assert ANSWERED == READ_AS
    for _ in range(2):
        assert b"v2 of tiny (tiny-retrain-1) passed its gate" in decisions.page(query())
    assert decisions.answer(query(), b"answer=" + said + b"&note=looks+fine")["version"] == "v2"
    [(_, fact)] = read_facts(decisions.registry, "tiny")
    assert isinstance(fact, kind)
    assert (fact.version, fact.by, fact.note) == ("v2", "link", "looks fine")  # type: ignore[attr-defined]
    for again in (decisions.page, lambda one: decisions.answer(one, b"answer=reject")):
        with pytest.raises(Used, match="used before"):
            again(query())


def test_what_we_did_not_sign_opens_nothing(decisions: Decisions, tmp_path: Path) -> None:
    signed, other = query().decode(), query(Question("tiny-retrain-1", "v3", UNTIL)).decode()
    mixed = other.split(".")[0] + "." + signed.split(".")[1]
    for forged in (b"", b"token=", b"token=\xff", mixed.encode(), query(key="x" * 64)):
        with pytest.raises(WrongToken):
            decisions.page(forged)
    with pytest.raises(RefusedRequest, match="approve or reject"):
        decisions.answer(query(), b"answer=maybe")
    decisions.key_file.unlink()
    with pytest.raises(TokenUnset):
        decisions.page(query())


def test_its_time_runs_out(decisions: Decisions, clock: FakeClock) -> None:
    late = Question("tiny-retrain-1", "v2", clock.now() + timedelta(seconds=5))
    decisions.page(query(late))
    clock.advance(5)
    with pytest.raises(Used, match="time of this link was up"):
        decisions.answer(query(late), b"answer=approve")


def test_over_http(
    make_endpoint: Callable[..., Endpoint], operator: Operator, decisions: Decisions, folder: PipelineHome
) -> None:
    operator.decisions = decisions
    app = EndpointApp(make_endpoint(), operator)

    async def ask(method: str, query_: bytes, body: bytes = b"") -> tuple[int, bytes]:
        sent: list[Any] = []
        kind = b"application/x-www-form-urlencoded"
        scope = {
            "type": "http",
            "path": "/tiny/decide",
            "method": method,
            "query_string": query_,
            "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body))],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]

    async def story() -> list[tuple[int, bytes]]:
        return [
            await ask("GET", query()),
            await ask("GET", b"token=x.y"),
            await ask("POST", query(), b"answer=approve&note=ok"),
            await ask("POST", query(), b"answer=approve"),
            await ask("PUT", query()),
        ]

    shown, forged, kept, again, wrong = asyncio.run(story())
    assert (shown[0], b"<form" in shown[1]) == (200, True)
    assert forged[0] == 403
    assert (kept[0], json.loads(kept[1])) == (200, {"version": "v2", "answer": "approve"})
    assert (again[0], wrong[0]) == (410, 405)
