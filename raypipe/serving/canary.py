"""A canary in the champion's replica: which rows it answers, and what becomes of those that it cannot.

A row goes to the canary where a hash of its key, salted by the canary's version, falls below the weight; so a
key that it answers it goes on answering as the weight grows. The key is a column's value or a header's, else
the row's id. A row without its key goes to neither arm.

A client never pays for the canary: a row that it fails on is answered by the champion.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from raypipe.core.ids import Json
from raypipe.data.roles import Arm, Role
from raypipe.serving.answers import Given, iterate
from raypipe.serving.golden import Timer
from raypipe.serving.pointer import Canary
from raypipe.serving.predictor import Predictions, Predictor
from raypipe.serving.request import Hints, RequestSchema, Row, RowError
from raypipe.serving.row_budget import RowBudget
from raypipe.training.compare import aligned
from raypipe.training.task import Task

_log = logging.getLogger("raypipe.serving")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Asking:
    """A valid row, as it came; `header` is the value of the sticky header, if its request had one."""

    row: Row
    received: msgspec.Raw
    id: str
    header: str | None = None
    takes_part: bool = True
    """Whether a canary may answer it."""


@dataclass
class LoadedCanary:
    """A canary in memory, with what it may still spend; safe to ask from several threads."""

    terms: Canary
    epoch: int
    predictor: Predictor
    schema: RequestSchema
    budget: RowBudget
    n_rows: int = 0
    """Rows that it was asked."""
    _n_taken: int = 0
    """Rows of the budget that are this replica's, asked or not."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def can_spend(self) -> bool:
        """Return whether it may be asked a row, taking some from the budget if need be."""
        with self._lock:
            if self.n_rows == self._n_taken:
                self._n_taken += self.budget.take()
            return self.n_rows < self._n_taken

    def spend(self) -> bool:
        """Return whether it may answer one row more, which counts as asked from now on."""
        with self._lock:
            granted = self.n_rows < self._n_taken
            self.n_rows += granted
            return granted

    def to_json(self) -> Json:
        return {"version": self.terms.version, "weight": self.terms.weight, "n_rows": self.n_rows}


@dataclass(frozen=True)
class Routed:
    """Where rows go: for each one its role, None for the champion's outside of the test."""

    roles: Sequence[Role | None]

    def places(self, arm: Arm) -> list[int]:
        return [place for place, role in enumerate(self.roles) if role is not None and role.arm == arm]


def answer_split(
    champion: Predictor, canary: LoadedCanary, asked: Sequence[Asking], timer: Timer
) -> Iterator[Given]:
    """Return the answers to rows, in their order, by the champion and the canary."""
    routed = _route(canary, asked)
    chosen = routed.places("canary")
    roles = list(routed.roles)
    by_canary, slow = _ask_canary(champion, canary, [asked[place] for place in chosen], timer)
    answers: dict[int, Given] = {}
    for place, given in zip(chosen, by_canary, strict=True):
        role = roles[place]
        if given is None:
            roles[place] = _as(role, "fallback", slow=slow)
        else:
            answers[place] = (*given[:3], canary.terms.version, _text(_as(role, "canary", slow=slow)))
    others = [place for place in range(len(asked)) if place not in answers]
    began = timer()
    rest = iterate(champion.predict_rows([asked[place].row for place in others])) if others else iter(())
    late = _is_late(canary, timer() - began)
    for place, given in zip(others, rest, strict=True):
        role = roles[place]
        if role is not None and role.arm == "control":
            role = _as(role, "control", slow=late)
        answers[place] = (*given[:3], None, _text(role))
    return (answers[place] for place in range(len(asked)))


def _route(canary: LoadedCanary, asked: Iterable[Asking]) -> Routed:
    """Return the arm of each row; while the canary may answer none, none is in the test."""
    roles: list[Role | None] = []
    for one in asked:
        key = _key(canary.terms, one) if one.takes_part and canary.can_spend() else None
        if key is None:
            roles.append(None)
            continue
        digest = hashlib.blake2b(f"{canary.terms.version}|{key}".encode("utf-8", "replace"), digest_size=8)
        arm: Arm = "canary" if _share(digest.digest()) < canary.terms.weight else "control"
        shown = digest.hexdigest()[:8] if canary.terms.is_sticky else None
        if arm == "canary" and not canary.spend():
            roles.append(None)
            continue
        roles.append(Role(arm, canary.epoch, shown))
    return Routed(roles)


def _key(terms: Canary, asked: Asking) -> str | None:
    if terms.header is not None:
        return asked.header
    if terms.column is None:
        return asked.id
    if terms.column in asked.row:
        value = asked.row[terms.column]
        return None if value is None else str(value)
    raw = _OBJECT.decode(asked.received).get(terms.column)
    return None if raw is None or raw == b"null" else bytes(raw).decode()


def _ask_canary(
    champion: Predictor, canary: LoadedCanary, asked: Sequence[Asking], timer: Timer
) -> tuple[list[Given | None], bool]:
    """Return the canary's answers, None for a row that it failed on, and whether it took too long."""
    if not asked:
        return [], False
    began = timer()
    found: list[Given | None] = [None] * len(asked)
    try:
        rows = [_row(champion, canary, one) for one in asked]
        places = [place for place, row in enumerate(rows) if row is not None]
        valid = [row for row in rows if row is not None]
        if valid:
            for place, given in zip(places, _answers(champion, canary.predictor, valid), strict=True):
                found[place] = given if given[2] else None
    except Exception:  # noqa: BLE001 - whatever a broken canary raises, the champion answers
        _log.exception("the canary %s failed, and the champion answers", canary.terms.version)
        found = [None] * len(asked)
    return found, _is_late(canary, timer() - began)


def _row(champion: Predictor, canary: LoadedCanary, asked: Asking) -> Row | None:
    """Return a row as the canary reads it; None where it cannot."""
    if canary.predictor.transform.inputs == champion.transform.inputs:
        return asked.row
    row = canary.schema.row(asked.received, Hints(0))
    return None if isinstance(row, RowError) else row


def _answers(champion: Predictor, canary: Predictor, rows: Sequence[Row]) -> Iterator[Given]:
    """Return the canary's answers in the champion's classes, in the champion's order."""
    return iterate(in_terms_of(champion.task, canary.predict_rows(rows), canary.task))


def in_terms_of(champion: Task, predictions: Predictions, canary: Task) -> Predictions:
    """Return a canary's predictions in the champion's classes and order, as clients get them."""
    if predictions.probabilities is None or canary.classes == champion.classes:
        return predictions
    known = aligned(predictions.probabilities, canary, champion)
    values = [champion.classes[code] for code in known.argmax(axis=1).tolist()]
    return Predictions(values, known, predictions.finite)


def _is_late(canary: LoadedCanary, took_s: float) -> bool:
    return 1e3 * took_s > canary.terms.slow_ms


def _as(role: Role | None, arm: Arm, *, slow: bool) -> Role | None:
    return None if role is None else Role(arm, role.epoch, role.key, slow)


def _text(role: Role | None) -> str | None:
    return None if role is None else role.text


def _share(digest: bytes) -> float:
    return int.from_bytes(digest, "big") / 2**64
