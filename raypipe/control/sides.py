"""A challenger and the champion, asked the same captured rows in one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from raypipe.control.row_loss import Given
from raypipe.serving.golden import Timer
from raypipe.serving.predictor import Predictions, Predictor
from raypipe.serving.request import Hints, RequestSchema, Row, RowError
from raypipe.training.compare import aligned

N_TIMES = 200


class Captured(NamedTuple):
    """One captured answer."""

    id: str
    at: datetime
    version: str
    role: str
    inputs: str
    prediction: str
    probabilities: Sequence[float] | None

    @property
    def given(self) -> Given:
        found: Given = self.probabilities if self.probabilities is not None else json.loads(self.prediction)
        return found


@dataclass
class Sides:
    """The two versions, and how they are asked."""

    champion: Predictor
    challenger: Predictor
    champion_version: str
    timer: Timer
    ratios: list[float] = field(default_factory=list)
    """The challenger's time over the champion's, for the last batches."""

    def answers(self, rows: Sequence[Captured]) -> tuple[int, list[Given | None]]:
        """Return how many rows there were for both, and the challenger's answers, None where it failed."""
        found: list[Given | None] = [None] * len(rows)
        read = [self._read(one) for one in rows]
        places = [place for place, pair in enumerate(read) if pair[1] is not None]
        try:
            theirs = [pair[1] for pair in read if pair[1] is not None]
            took_s, predictions = self._timed(self.challenger, theirs)
            for place, given in zip(places, self._given(predictions), strict=True):
                found[place] = given
        except Exception:  # noqa: BLE001 - whatever a broken challenger raises counts against it
            return len(rows), [None] * len(rows)
        ours = [pair[0] for pair in read if pair[0] is not None]
        if ours and theirs:
            of_champion_s, _ = self._timed(self.champion, ours)
            per_row = (took_s / len(theirs)) / max(of_champion_s / len(ours), 1e-9)
            self.ratios = [*self.ratios, per_row][-N_TIMES:]
        return len(rows), found

    def _timed(self, predictor: Predictor, rows: Sequence[Row]) -> tuple[float, Predictions]:
        began = self.timer()
        predictions = predictor.predict_rows(rows)
        return self.timer() - began, predictions

    def _read(self, captured: Captured) -> tuple[Row | None, Row | None]:
        raw = msgspec.Raw(captured.inputs.encode())
        return _row(self._schemas[0], raw), _row(self._schemas[1], raw)

    def __post_init__(self) -> None:
        self._schemas = [
            RequestSchema(one.transform.inputs, one.transform.ignored)
            for one in (self.champion, self.challenger)
        ]

    def _given(self, predictions: Predictions) -> list[Given | None]:
        finite = list(predictions.finite)
        if predictions.probabilities is None:
            return [float(v) if ok else None for v, ok in zip(predictions.values, finite, strict=True)]
        known = aligned(predictions.probabilities, self.challenger.task, self.champion.task)
        return [row if ok else None for row, ok in zip(known.tolist(), finite, strict=True)]


def _row(schema: RequestSchema, raw: msgspec.Raw) -> Row | None:
    row = schema.row(raw, Hints(0))
    return None if isinstance(row, RowError) else row
