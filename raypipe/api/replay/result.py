"""What a replay comes to: what was sent, what was decided, what the answers were worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from raypipe.api.replay.scores import Scores
from raypipe.control.receipts import Receipt
from raypipe.core.ids import Json
from raypipe.stats.intervals import Interval


@dataclass(frozen=True)
class PlayedDecision:
    """One retrain of a replay: its receipt, and where in the traffic it was decided."""

    receipt: Receipt
    at_row: int
    at: datetime
    """The event time of that row."""

    @property
    def took_s(self) -> float | None:
        """The seconds from the decision to its end, which for a promotion is the new champion's answer."""
        ended = self.receipt.ended_at
        return None if ended is None else round((ended - self.receipt.decided_at).total_seconds(), 1)

    @property
    def gain(self) -> Interval | None:
        """How much better the challenger was than the champion, with its interval."""
        found = self.receipt.gate.gain if self.receipt.gate else None
        if found is None or found.value is None or found.low is None or found.high is None:
            return None
        return Interval(found.value, found.low, found.high)

    def to_json(self) -> Json:
        receipt, gate = self.receipt, self.receipt.gate
        return {
            "decision": receipt.decision,
            "at_row": self.at_row,
            "at": self.at.isoformat(),
            "trigger": receipt.trigger,
            "champion": receipt.champion,
            "version": receipt.version,
            "family": receipt.family,
            "verdict": gate.verdict if gate else None,
            "n_rows": gate.n_rows if gate else None,
            "champion_score": gate.champion_score if gate else None,
            "challenger_score": gate.challenger_score if gate else None,
            "gain": self.gain.to_json() if self.gain else None,
            "ending": receipt.ending,
            "reason": receipt.reason,
            "took_s": self.took_s,
            "cost_cpu_s": receipt.cost_cpu_s,
        }


@dataclass(frozen=True)
class ReplayResult:
    """What happened in a replay; `versions` says how many rows each answered, in order of their first."""

    n_rows: int
    n_requests: int
    n_failed: int
    n_rows_refused: int
    n_labels_refused: int
    played_s: float
    first_champion: str
    versions: Mapping[str, int]
    decisions: tuple[PlayedDecision, ...]
    scores: Scores

    def to_json(self) -> dict[str, Json]:
        return {
            "n_rows": self.n_rows,
            "n_requests": self.n_requests,
            "n_failed": self.n_failed,
            "n_rows_refused": self.n_rows_refused,
            "n_labels_refused": self.n_labels_refused,
            "played_s": self.played_s,
            "first_champion": self.first_champion,
            "versions": dict(self.versions),
            "decisions": [one.to_json() for one in self.decisions],
            "scores": self.scores.to_json(),
        }
