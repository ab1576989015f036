"""The table: fits and score of each policy, and what periodic retrains come to at as many fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.streams.learner import WindowLearner
from benchmarks.streams.sets import Recorded
from raypipe.backtest.play import Played, Player
from raypipe.backtest.policies import Every, Naive, Never, Policy
from raypipe.backtest.stream import Stream
from raypipe.stats.metrics import METRICS
from raypipe.training.task import infer_task

BESIDE: tuple[Policy, ...] = (
    Never(),
    *map(Every, (32, 16, 8, 4, 2, 1)),
    *map(Naive, (1.1, 1.25, 1.5)),
)
SHIFTED = tuple(Every(period, phase) for period in (32, 16, 8, 4, 2) for phase in range(1, period))
"""The other phases of the timers: what a timer comes to depends on when it begins."""
FIRST_LOOK: Mapping[str, Any] = {"wait_labels": 0}
GOES_ON: Mapping[str, Any] = {"deadline_s": 1e9}
N_CHUNKS = 4
"""After labels of so many chunks the policy `labels` asks."""
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "harm": {"gate": FIRST_LOOK},
    "harm, gate goes on": {"gate": GOES_ON},
    "cost": {"gate": FIRST_LOOK, "triggers": {"harm": "off", "cost": {"loss": 1, "retrain": 50}}},
    "labels, gate goes on": {"gate": GOES_ON},
}
"""The `retraining` part of a config for each of raypipe's own."""


@dataclass(frozen=True)
class Cell:
    """What a policy came to; `n_fits` counts the first champion's."""

    stream: str
    delay: int
    policy: str
    n_fits: int
    n_released: int
    score: float
    cpu_s: float
    endings: tuple[str, ...] = ()


def beside(recorded: Recorded, delays: Sequence[int], home: Path) -> Iterator[Cell]:
    """Yield the cells of the policies that need no monitoring; equal fits are made once for all delays."""
    kept: dict[int, Any] = {}
    for delay in delays:
        stream = recorded.stream(delay)
        config = recorded.config(home)
        learner = WindowLearner(stream, config, graded=False)
        learner._kept = kept
        player = Player(stream, learner, config)
        for policy in (*BESIDE, *SHIFTED):
            yield _cell(recorded, delay, stream, player.beside(policy))


def loop(
    recorded: Recorded, delay: int, name: str, retraining: Mapping[str, Any], home: Path
) -> tuple[Cell, Played]:
    """Play a policy of raypipe's; one by labels asks after those of four chunks, beside harm."""
    stream, config = recorded.stream(delay), recorded.config(home, **retraining)
    policy = config.retraining
    if name.startswith("labels"):
        new_labels = N_CHUNKS * int(np.median(np.diff(recorded.ends)))
        triggers = policy.triggers.model_copy(update={"new_labels": new_labels})
        policy = policy.model_copy(update={"triggers": triggers})
    played = Player(stream, WindowLearner(stream, config, graded=True), config).loop(policy, name)
    return _cell(recorded, delay, stream, played), played


def _cell(recorded: Recorded, delay: int, stream: Stream, played: Played) -> Cell:
    config = recorded.config(Path())
    task = infer_task(config.training, recorded.label, recorded.rows[recorded.label])
    y = task.encode(stream.played[recorded.label])
    endings = tuple(one.ending for one in played.decisions or ())
    return Cell(
        recorded.name,
        delay,
        played.name,
        1 + played.n_fits,
        played.n_fits if played.decisions is None else endings.count("promoted"),
        METRICS[recorded.metric](y, played.values(task)),
        played.cpu_s,
        endings,
    )


def at_equal_fits(cells: Sequence[Cell], n_fits: int) -> float:
    """Return what timers, and never, come to at so many fits: on the line between neighbours.

    Of a period the mean over its phases counts, of fits and of scores.
    """
    by_period: dict[str, list[Cell]] = {}
    for one in cells:
        if one.policy.startswith(("never", "every")):
            by_period.setdefault(one.policy.partition(" from")[0], []).append(one)
    known = sorted(
        (fmean(one.n_fits for one in of), fmean(one.score for one in of)) for of in by_period.values()
    )
    n, scores = zip(*known, strict=True)
    return float(np.interp(n_fits, n, scores))


def to_json(cell: Cell) -> dict[str, Any]:
    return asdict(cell)
