from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.stats.metrics import METRICS
from raypipe.training.race import TrialStatus, TrialSummary
from raypipe.training.standings import (
    Standing,
    best_of_families,
    candidate_of,
    leader_of,
    no_model,
    progress_of,
    reason_of,
)


def standing(
    number: int,
    family: str,
    score: float | None,
    status: TrialStatus = "finished",
    *,
    saved: bool = True,
    reason: str = "",
) -> Standing:
    summary = TrialSummary(f"t{number}", family, {"strength": 1.0}, score, status, 3, 2.0, reason)
    return Standing(summary, "linear-safetensors", Path(f"/m/{number}") if saved else None)


def ids(standings: tuple[Standing, ...]) -> list[str]:
    return [one.summary.trial_id for one in standings]


TRIALS = (
    standing(1, "linear", 0.7),
    standing(2, "xgboost", 0.8),
    standing(3, "linear", 0.75, "stopped"),
    standing(4, "xgboost", 0.99, "failed", reason="ValueError: no"),
    standing(5, "torch", None, "stopped", saved=False),
    standing(6, "xgboost", 0.8),
)


def test_the_best_of_each_family_that_has_a_model() -> None:
    assert ids(best_of_families(TRIALS, METRICS["auc"])) == ["t3", "t2"]
    assert ids(best_of_families(TRIALS, METRICS["log_loss"])) == ["t1", "t2"]


def test_the_leader_of_all() -> None:
    leader = leader_of(TRIALS, METRICS["auc"])
    assert leader is not None and leader.summary.trial_id == "t2"
    assert leader_of((TRIALS[3], TRIALS[4]), METRICS["auc"]) is None


def test_progress_says_how_the_latest_ended_and_who_leads() -> None:
    step = progress_of(TRIALS[:2], TRIALS[1], 8, METRICS["auc"])
    assert step.message == "2 of 8 trials: xgboost finished, auc 0.8000; best 0.8000 by xgboost"
    assert step.done_ratio == 0.25


def test_progress_of_a_failure_says_why() -> None:
    failed = standing(1, "torch", None, "failed", saved=False, reason="TrainingError: the training diverged.")
    step = progress_of([failed], failed, 1, METRICS["auc"])
    assert step.message == "1 of 1 trials: torch failed, no score (TrainingError: the training diverged.)"


def test_a_candidate_keeps_what_its_trial_was() -> None:
    candidate = candidate_of(TRIALS[0], Path("/kept"))
    assert (candidate.family, candidate.score, candidate.folder) == ("linear", 0.7, Path("/kept"))
    assert (candidate.trial_id, candidate.format, candidate.train_s) == ("t1", "linear-safetensors", 2.0)
    with pytest.raises(ValueError, match="t5 has no score"):
        candidate_of(TRIALS[4], Path("/kept"))


def test_without_a_model_the_first_failure_is_told_or_else_the_time() -> None:
    assert "none of 6 trials produced a model; the first failed because: ValueError: no" in str(
        no_model(TRIALS, 10.0)
    )
    assert "within training.budget.minutes = 0.5" in str(no_model(TRIALS[4:5], 0.5))


TRACEBACK = """Failure # 1 (occurred at 2026-01-01_00-00-00)
ray::ImplicitFunc.train() (pid=1, ip=10.0.0.1)
  File "a.py", line 1, in train
    raise StartTraceback from e
raypipe.core.errors.TrainingError: it diverged: badly.
see https://example.org/page.html: more
"""


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("", "unknown"),
        (TRACEBACK, "TrainingError: it diverged: badly."),
        ("The actor died.\n\tclass_name: X", "The actor died."),
        ("ValueError: " + "x" * 400, "ValueError: " + "x" * 287 + "…"),
    ],
)
def test_the_reason_is_the_first_line_of_the_error_itself(report: str, reason: str) -> None:
    assert reason_of(report) == reason
