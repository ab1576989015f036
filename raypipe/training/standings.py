"""Where each trial of a race stands, and which of them represents its family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.core.errors import TrainingError
from raypipe.core.progress import Step
from raypipe.stats.metrics import Metric
from raypipe.training.race import Candidate, TrialSummary

_MAX_REASON = 300


@dataclass(frozen=True)
class Standing:
    """How a trial ended, and where its best model lies; no folder where it saved none."""

    summary: TrialSummary
    format: str = ""
    folder: Path | None = None


def best_of_families(standings: Iterable[Standing], metric: Metric) -> tuple[Standing, ...]:
    """Return the trial with the best score of each family, failed ones left out; on a tie the earlier one."""
    by_family: dict[str, list[Standing]] = {}
    for standing in standings:
        by_family.setdefault(standing.summary.family, []).append(standing)
    leaders = (leader_of(of_family, metric) for of_family in by_family.values())
    return tuple(leader for leader in leaders if leader is not None)


def leader_of(standings: Iterable[Standing], metric: Metric) -> Standing | None:
    """Return the trial with the best score that has a model and did not fail; on a tie the earlier one."""
    usable = (one for one in standings if one.folder is not None and one.summary.status != "failed")
    return max(usable, key=lambda one: _height(metric, one.summary.score), default=None)


def _height(metric: Metric, score: float | None) -> float:
    return -math.inf if score is None else metric.gain(score, 0.0)


def candidate_of(standing: Standing, folder: Path) -> Candidate:
    """Return a trial as its family's candidate, its model being in `folder`; it must have a score."""
    summary = standing.summary
    if summary.score is None:
        raise ValueError(f"trial {summary.trial_id} has no score")
    return Candidate(
        family=summary.family,
        params=summary.params,
        score=summary.score,
        train_s=summary.train_s,
        folder=folder,
        format=standing.format,
        trial_id=summary.trial_id,
    )


def no_model(standings: Sequence[Standing], minutes: float) -> TrainingError:
    """Return the error that says why no trial has a model: the first failure, or the time."""
    reasons = [standing.summary.reason for standing in standings if standing.summary.reason]
    if reasons:
        return TrainingError(
            f"none of {len(standings)} trials produced a model; the first failed because: {reasons[0]}"
        )
    return TrainingError(
        f"no trial produced a model within training.budget.minutes = {minutes:g}; raise it, "
        "or choose cheaper families in training.families."
    )


def progress_of(ended: Sequence[Standing], latest: Standing, n_trials: int, metric: Metric) -> Step:
    """Return the line that tells how the latest trial ended, and who leads."""
    summary = latest.summary
    score = "no score" if summary.score is None else f"{metric.name} {summary.score:.4f}"
    said = f"{len(ended)} of {n_trials} trials: {summary.family} {summary.status}, {score}"
    if summary.reason:
        said += f" ({summary.reason})"
    leader = leader_of(ended, metric)
    if leader is not None:
        said += f"; best {leader.summary.score:.4f} by {leader.summary.family}"
    return Step("train", said, min(1.0, len(ended) / n_trials))


def reason_of(report: str) -> str:
    """Return the first line of the error at the end of a report: a traceback, or only the error.

    The path of the error's class is left out, and so is the line in which Tune counts failures.
    """
    lines = [line for line in report.splitlines() if line.strip() and not line.startswith("Failure # ")]
    frames = [number for number, line in enumerate(lines) if line.lstrip().startswith('File "')]
    after = lines[frames[-1] + 1 :] if frames else lines
    line = next((line for line in after if not line.startswith(" ")), "unknown").strip()
    kind, colon, text = line.partition(": ")
    words = f"{kind.rpartition('.')[2]}: {text}" if colon else kind
    return words if len(words) <= _MAX_REASON else f"{words[: _MAX_REASON - 1]}…"
