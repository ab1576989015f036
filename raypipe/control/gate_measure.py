"""Scores a challenger and the champion on captured rows that were labelled after the challenger's were read.

Both answer the same inputs, as they were captured, in the way that the first look has them answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from raypipe.control.gate_evidence import GateEvidence
from raypipe.data.live import live_rows
from raypipe.data.schema import Column
from raypipe.serving.judging import answers_of
from raypipe.serving.predictor import Predictor
from raypipe.stats.bets import Bets
from raypipe.stats.gains import Gains, Scale
from raypipe.training.compare import Answers, scores
from raypipe.training.slices import slices_of

if TYPE_CHECKING:
    from raypipe.training.models import Float64Array

MAX_WAITING = 500_000
"""Answers whose labels are waited for, and labels whose answers are; the oldest are given up beyond."""
_T = TypeVar("_T")


class Answered(NamedTuple):
    """An answer in the log; who gave it is no matter."""

    id: str
    at: datetime
    version: str
    inputs: str


class Labelled(NamedTuple):
    """A label in the log, as JSON."""

    prediction_id: str
    label: str
    at: datetime


@dataclass(frozen=True)
class Contest:
    """Who is compared, and on which rows."""

    champion: Predictor
    challenger: Predictor
    champion_version: str
    challenger_version: str
    scale: Scale
    margin: float
    max_rows: int
    columns: Sequence[Column]
    """Of the data version that was collected for the first look."""
    time: str | None
    redacted: Collection[str]
    """Columns that live rows come without."""
    learned: Collection[str]
    """Ids of the answers that either was trained, tuned or judged on."""
    since: datetime
    """When its rows were read: what was labelled before may have been looked at."""


class GateMeasure:
    """Folds captured answers and labels into the evidence of one gate; equal rows give equal evidence."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self._learned = set(contest.learned)
        self._waiting: dict[str, Answered] = {}
        self._early: dict[str, Labelled] = {}
        self._rows: list[pa.Table] = []
        self._answers: tuple[list[Answers], list[Answers]] = ([], [])
        self._n_rows = 0

    def take_answers(self, rows: Sequence[Answered]) -> None:
        """Take in what was answered, in the order of the log."""
        ripe = []
        for one in rows:
            if one.id not in self._learned:
                _bounded(self._waiting)[one.id] = one
                if one.id in self._early:
                    ripe.append(self._early.pop(one.id))
        self.take_labels(ripe)

    def take_labels(self, labels: Sequence[Labelled]) -> None:
        """Take in labels, in the order of the log; of an answer the first one counts."""
        ripe: dict[str, Labelled] = {}
        for one in labels:
            id_ = one.prediction_id
            if one.at <= self._contest.since or id_ in self._learned:
                self._learned.add(id_)
                self._waiting.pop(id_, None)
            elif id_ in self._waiting:
                ripe.setdefault(id_, one)
            else:
                _bounded(self._early).setdefault(id_, one)
        room = self._contest.max_rows - self._n_rows
        if ripe and room > 0:
            self._judge(list(ripe.values())[:room])

    @property
    def evidence(self) -> GateEvidence | None:
        """All that is known; None before the first row."""
        if not self._rows:
            return None
        contest, rows = self._contest, pa.concat_tables(self._rows)
        task = contest.challenger.task
        y = task.encode(rows[task.label])
        old, new = (_joined(answers) for answers in self._answers)
        found = scores(task, y, old, new, slices=slices_of(rows, contest.challenger.transform.inputs))
        if old.problem or new.problem or old.values is None or new.values is None:
            return GateEvidence(Gains(Bets.none(0.5), Bets.none(0.5)), found)
        gains = Gains.of(task.metric, y, old.values, new.values, contest.scale, margin=contest.margin)
        return GateEvidence(gains, found)

    def _judge(self, labels: Sequence[Labelled]) -> None:
        """Let both answer rows whose labels have come."""
        contest = self._contest
        answered = [self._waiting.pop(one.prediction_id) for one in labels]
        self._learned.update(one.id for one in answered)
        task = contest.challenger.task
        rows = live_rows(
            _table(answered, Answered._fields),
            _table(labels, Labelled._fields),
            contest.columns,
            label=task.label,
            time=contest.time,
        )
        if task.kind == "classification":
            known = [label in task.classes for label in rows[task.label].to_pylist()]
            rows = rows.filter(pa.array(known, pa.bool_()))
        if not rows.num_rows:
            return
        rows = _without(rows, contest.redacted)
        sides = (contest.champion, contest.champion_version), (contest.challenger, contest.challenger_version)
        for known_so_far, (predictor, version) in zip(self._answers, sides, strict=True):
            known_so_far.append(answers_of(predictor, version, rows, task))
        self._rows.append(rows)
        self._n_rows += rows.num_rows


def _joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers to all rows, or the first error."""
    for part in parts:
        if part.problem:
            return Answers(part.version, None, part.problem)
    values: list[Float64Array] = [part.values for part in parts if part.values is not None]
    return Answers(parts[0].version, np.concatenate(values))


def _table(rows: Sequence[tuple[object, ...]], names: Sequence[str]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(column) for name, column in zip(names, columns, strict=True)})


def _without(rows: pa.Table, redacted: Collection[str]) -> pa.Table:
    for place, field in enumerate(rows.schema):
        if field.name in redacted:
            rows = rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows


def _bounded(known: dict[str, _T]) -> dict[str, _T]:
    """Return a dict with room for one more, without its oldest where it was full."""
    if len(known) >= MAX_WAITING:
        del known[next(iter(known))]
    return known
