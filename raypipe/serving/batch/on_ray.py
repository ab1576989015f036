"""The same parts over Ray Data: actors hold the version, and each scores pieces where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import ray.data

from raypipe.core.background import in_background
from raypipe.serving.batch.job import NumberedPiece, ScoreJob, Scorer
from raypipe.serving.batch.parts import Part
from raypipe.serving.batch.run import Made

Batch: TypeAlias = "dict[str, list[object]]"
_COLUMNS = ("file", "sha256", "n_scored", "n_rejected")


def over_ray(job: ScoreJob, pieces: Sequence[NumberedPiece], output: Path) -> Iterator[Made]:
    """Score pieces in actors of Ray Data, and yield each as it is done.

    Every node must reach the input, the home and the output's folder. Ray must be initialised.
    """
    if not pieces:
        return
    numbers = ray.data.range(len(pieces), override_num_blocks=len(pieces))
    made = numbers.map_batches(
        _PieceScorer,
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=len(pieces)),
        fn_constructor_args=(job, list(pieces), output.absolute()),
    )
    for row in made.iter_rows():
        yield row["number"], Part(*(row[name] for name in _COLUMNS))


class _PieceScorer:
    def __init__(self, job: ScoreJob, pieces: Sequence[NumberedPiece], output: Path) -> None:
        in_background()
        self._pieces, self._output = pieces, output
        self._scorer = Scorer(job)

    def __call__(self, batch: Batch) -> Batch:
        chosen = [self._pieces[int(str(id))] for id in batch["id"]]
        parts = [self._scorer(one, self._output) for one in chosen]
        columns: Batch = {name: [getattr(part, name) for part in parts] for name in _COLUMNS}
        return {"number": [one.number for one in chosen], **columns}
