"""Scores to whoever takes rows, such as a topic: in the order of the input, each piece whole."""

from __future__ import annotations

import json
from collections.abc import Sequence

from raypipe.core.progress import Progress, Step, silent
from raypipe.data.sinks import Sink
from raypipe.data.sources.records import UNDECLARED, records_table
from raypipe.serving.batch.intake import RejectedRow
from raypipe.serving.batch.job import ScoreJob, Scorer
from raypipe.serving.batch.parts import Part
from raypipe.serving.batch.run import Scored


def score_to_sink(job: ScoreJob, sink: Sink, progress: Progress = silent) -> Scored:
    """Send the scores of all rows, and of each piece then the rows that have none, with their errors.

    Begun again it sends all of it again. Raises SourceError, SchemaError and SinkError.
    """
    scorer = Scorer(job)
    parts: list[Part] = []
    for piece in scorer.source.pieces(None):
        scores, rejected = scorer.score(piece)
        sink.write(scores)
        if rejected:
            lines = _told(piece.name, rejected)
            sink.write(records_table(lines, "the rejected rows", UNDECLARED))
        parts.append(Part("", "", scores.num_rows, len(rejected)))
        progress(Step("score", f"{sum(part.n_scored for part in parts):,} rows"))
    return Scored(str(sink), job.pointer.version, tuple(parts), 0, 0)


def _told(piece: str, rejected: Sequence[RejectedRow]) -> list[dict[str, object]]:
    return [
        {
            "piece": piece,
            "row": one.row,
            "error": "; ".join(error.message for error in one.errors),
            "received": json.dumps(one.received, ensure_ascii=False),
        }
        for one in rejected
    ]
