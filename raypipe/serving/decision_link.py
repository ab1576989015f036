"""A link by which whoever holds it lets a challenger become the champion, or not: signed, and for once.

The token says which decision and version it is about, and until when. It is signed with the operator's token,
so that a new one makes all links void. The answer goes to the ledger, where the controller reads it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import msgspec

from raypipe.core.clock import Clock
from raypipe.core.errors import ServingError
from raypipe.core.ids import Json
from raypipe.registry.store import Registry
from raypipe.serving.request import RefusedRequest
from raypipe.serving.token import TokenUnset, WrongToken, read_token

ANSWERED = "answered"
"""The kind of the ledger's entries for answers that came by a link."""
MAX_NOTE_CHARACTERS = 500
ROUTE = "decide"


class Used(RefusedRequest):
    """The link was used before, or its time is up."""

    status = 410


@dataclass(frozen=True)
class Question:
    """What a link asks."""

    decision: str
    version: str
    until: datetime


def link(url: str, question: Question, key: str) -> str:
    """Return the address that asks a question at the endpoint `url`."""
    payload = base64.urlsafe_b64encode(msgspec.json.encode(question)).decode().rstrip("=")
    return f"{url}/{ROUTE}?token={payload}.{_signature(payload, key)}"


@dataclass(frozen=True)
class Decisions:
    """Takes answers by links for one pipeline."""

    pipeline: str
    registry: Registry
    key_file: Path
    clock: Clock

    def page(self, query: bytes) -> bytes:
        """Return a page with the question, which changes nothing; raises RefusedRequest."""
        question, _ = self._asked(query)
        said = html.escape(f"{question.version} of {self.pipeline} ({question.decision}) passed its gate.")
        return (
            f"<!doctype html><title>{html.escape(question.version)}</title><p>{said}</p>"
            '<form method="post"><input name="note" placeholder="why" maxlength="500"> '
            '<button name="answer" value="approve">Approve</button> '
            '<button name="answer" value="reject">Reject</button></form>'
        ).encode()

    def answer(self, query: bytes, body: bytes) -> dict[str, str]:
        """Keep the answer of a form; raises RefusedRequest, and RegistryError where it cannot be kept."""
        question, digest = self._asked(query)
        form = parse_qs(body.decode("utf-8", "replace"))
        said, note = form.get("answer", [""])[0], form.get("note", [""])[0][:MAX_NOTE_CHARACTERS]
        if said not in ("approve", "reject"):
            raise RefusedRequest(f"answer must be approve or reject. Got {said[:50]!r}.")
        detail: dict[str, Json] = {"approved": said == "approve", "by": "link", "note": note, "link": digest}
        self.registry.append(self.pipeline, ANSWERED, question.version, detail)
        return {"version": question.version, "answer": said}

    def _asked(self, query: bytes) -> tuple[Question, str]:
        key = read_token(self.key_file)
        if key is None:
            raise TokenUnset(f"the endpoint's file {self.key_file.name} must hold a token, and does not.")
        token = parse_qs(query.decode("ascii", "replace")).get("token", [""])[0]
        payload, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), _signature(payload, key).encode()):
            raise WrongToken("the link must be as raypipe made it; it was changed, or the key has changed.")
        question = _read(payload)
        if self.clock.now() >= question.until:
            raise Used(
                f"the time of this link was up at {question.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
            )
        digest = hashlib.sha256(token.encode()).hexdigest()[:16]
        if any(_link_of(one.detail) == digest for one in self.registry.history(self.pipeline, None)):
            raise Used("this link was used before; see `raypipe history`.")
        return question, digest


def _read(payload: str) -> Question:
    try:
        padded = payload + "=" * (-len(payload) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Question)
    except (ValueError, msgspec.DecodeError) as error:
        raise ServingError(f"a link that we signed must hold a question: {error}.") from error


def _link_of(detail: object) -> str | None:
    return detail.get("link") if isinstance(detail, dict) else None


def _signature(payload: str, key: str) -> str:
    return hmac.new(key.encode(), f"decide|{payload}".encode(), hashlib.sha256).hexdigest()
