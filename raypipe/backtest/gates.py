"""A gate that goes on: champion and challenger on recorded rows whose labels come after its first look."""

from __future__ import annotations

from datetime import UTC, datetime

from raypipe.backtest.learner import Fit
from raypipe.backtest.stream import Stream
from raypipe.backtest.traffic import RowTexts
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_measure import Answered, Contest, GateMeasure, Labelled
from raypipe.core.errors import DataError
from raypipe.policy.config import GateSettings
from raypipe.stats.gains import Scale

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class RecordedGate:
    """One decision's gate; of equal rows it finds what a `GateWatch` finds in the log.

    `scale` is what the first look left to go on by; raises DataError for None.
    """

    def __init__(
        self,
        stream: Stream,
        texts: RowTexts,
        settings: GateSettings,
        *,
        time: str | None,
        scale: Scale | None,
        champion: tuple[str, Fit],
        challenger: tuple[str, Fit],
        n_labelled: int,
    ) -> None:
        if scale is None:
            raise DataError("the first look of a gate must have left a scale to go on by. Got none.")
        self._stream = stream
        self._texts = texts
        self._n_labelled = n_labelled
        contest = Contest(
            champion=champion[1].predictor,
            challenger=challenger[1].predictor,
            champion_version=champion[0],
            challenger_version=challenger[0],
            scale=scale,
            margin=settings.margin,
            max_rows=settings.wait_labels,
            columns=stream.columns,
            time=time,
            redacted=frozenset(),
            learned=frozenset(map(str, range(stream.n_history, n_labelled))),
            since=_LONG_AGO,
        )
        self._measure = GateMeasure(contest)

    def answered(self, start: int, end: int, version: str) -> None:
        """Take in the rows of a look, and the labels that are there by its end."""
        stream = self._stream
        inputs = self._texts.inputs(start, end)
        self._measure.take_answers(
            [Answered(str(row), stream.at(row), version, inputs[row - start]) for row in range(start, end)]
        )
        first, self._n_labelled = self._n_labelled, max(self._n_labelled, stream.known(end))
        labels = self._texts.labels(first, self._n_labelled)
        self._measure.take_labels(
            [
                Labelled(str(row), labels[row - first], stream.at(int(stream.arrivals[row]) - 1))
                for row in range(first, self._n_labelled)
            ]
        )

    @property
    def evidence(self) -> GateEvidence | None:
        """All that was found so far; None before the first row."""
        return self._measure.evidence
