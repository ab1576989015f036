"""The race on a real, small Ray."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import LabelError, TrainingError
from raypipe.core.progress import Progress, Step, silent
from raypipe.testing.training import training_set
from raypipe.training.config import TrainingSettings
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.family import family_of
from raypipe.training.judge import judge
from raypipe.training.kept import EndedTrial, open_run
from raypipe.training.leaderboard import BASELINE
from raypipe.training.models import load_model
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.search import N_RUNGS, defaults
from raypipe.training.standings import Standing
from raypipe.training.trial import score_of

pytestmark = pytest.mark.usefixtures("local_ray")

SAFE_FILES = {"constant.json", "model.json", "model.ubj", "model.safetensors", "architecture.json"}


def raced(
    data: TrainingSet,
    folder: Path,
    *,
    trials: int = 4,
    minutes: float = 5.0,
    progress: Progress = silent,
    **settings: object,
) -> RaceResult:
    from raypipe.training.on_ray.tuner import race

    given = TrainingSettings.model_validate({"budget": {"trials": trials, "minutes": minutes}, **settings})
    with open_run(folder, content="c-1", data="d-1") as kept:
        return race(data, given, kept=kept, cpus_per_trial=1.0, max_concurrent=2, progress=progress)


def test_a_race_keeps_each_familys_best_and_nothing_else(tmp_path: Path) -> None:
    data = training_set(2, n_rows=600)
    steps: list[Step] = []
    result = raced(data, tmp_path, trials=6, progress=steps.append)

    assert {one.family for one in result.candidates} == {"linear", "xgboost", "torch", BASELINE}
    assert [trial.trial_id for trial in result.trials] == [f"t{i}" for i in range(1, 7)]
    assert [trial.family for trial in result.trials[:3]] == ["linear", "xgboost", "torch"]
    for trial in result.trials[:3]:
        assert trial.params == defaults(family_of(trial.family), data.task)
    for candidate in result.candidates:
        model = load_model(candidate.folder, candidate.format)
        assert score_of(model, data) == pytest.approx(candidate.score, abs=1e-12)
        assert candidate.train_s > 0
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json", "race.json", "candidates"}
    assert {path.name for path in tmp_path.glob("candidates/**/*") if path.is_file()} <= SAFE_FILES
    assert [step.done_ratio for step in steps][-1] == 1.0 and len(steps) == 6

    board = judge(result, data, data.x_validation, data.y_validation, ordered_by_time=True, seed=0)
    assert board.winner != BASELINE and board.best.beats_baseline


def test_the_budget_is_shared_between_the_families(tmp_path: Path) -> None:
    result = raced(training_set(0), tmp_path, trials=12, families=["linear", "xgboost"])
    assert Counter(trial.family for trial in result.trials) == {"linear": 4, "xgboost": 8}
    for family in ("linear", "xgboost"):
        params = [tuple(trial.params.items()) for trial in result.trials if trial.family == family]
        assert len(set(params)) == len(params), "each trial tries something else"


def test_an_early_end_is_told_from_a_full_run(tmp_path: Path) -> None:
    result = raced(training_set(0, n_rows=600), tmp_path, trials=8, families=["xgboost"])
    full = [trial for trial in result.trials if trial.status == "finished"]
    early = [trial for trial in result.trials if trial.status == "stopped"]
    assert len(full) + len(early) == 8
    assert all(trial.rung == N_RUNGS for trial in full)
    assert all(trial.rung in (1, 3) for trial in early)
    assert early, "of eight trials halving must stop one"


def test_a_failed_trial_is_told_and_the_race_goes_on(tmp_path: Path) -> None:
    """Missing values are no obstacle for trees and stop a linear model."""
    data = training_set(2, n_rows=400)
    holes = data.x_train.copy()
    holes[::7, 1] = np.nan
    result = raced(replace(data, x_train=holes), tmp_path, trials=2, families=["linear", "xgboost"])
    linear, xgboost = result.trials
    assert (linear.status, linear.score, linear.rung) == ("failed", None, 0)
    assert linear.reason == "ValueError: Input X contains NaN."
    assert xgboost.status == "finished"
    assert {one.family for one in result.candidates} == {"xgboost", BASELINE}


def test_when_all_fail_the_first_reason_is_the_error(tmp_path: Path) -> None:
    data = training_set(2)
    data.x_train[0, 0] = np.nan
    with pytest.raises(
        TrainingError, match="none of 2 trials produced a model; the first failed because: ValueError"
    ):
        raced(data, tmp_path, trials=2, families=["linear"])
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json"}


def test_the_time_budget_ends_the_race_and_keeps_the_best_so_far(tmp_path: Path) -> None:
    attempted(tmp_path, at_s=1.0)  # On a machine that is busy enough, no other trial ends in time.
    data = training_set(2, n_rows=4_000, n_features=20)
    result = raced(data, tmp_path, trials=500, minutes=0.15, families=["linear", "xgboost"])
    assert 2 <= len(result.trials) < 500
    assert {"linear", BASELINE} <= {one.family for one in result.candidates}


def attempted(folder: Path, *, at_s: float) -> None:
    """Leave what an attempt leaves that died when two trials had ended, the second one unbeatable."""
    with open_run(folder, content="c-1", data="d-1") as kept:
        for number, score in ((1, 0.5), (3, 0.9999)):
            saved = folder / "saved"
            saved.mkdir()
            model = ConstantModel((0.5, 0.5), None)
            model.save(saved)
            summary = TrialSummary(f"t{number}", "linear", {"strength": number}, score, "finished", 1, 0.5)
            kept.keep_trial(EndedTrial(Standing(summary, model.format, saved), ((1, score),), at_s))


def test_a_race_goes_on_from_the_trials_that_ended(tmp_path: Path) -> None:
    attempted(tmp_path, at_s=1.0)
    steps: list[Step] = []
    result = raced(training_set(2), tmp_path, trials=4, families=["linear"], progress=steps.append)
    assert [(one.trial_id, one.attempt) for one in result.trials] == [
        ("t1", 1),
        ("t3", 1),
        ("t4", 2),
        ("t5", 2),
    ]
    assert [step.message.split(":")[0] for step in steps] == ["3 of 4 trials", "4 of 4 trials"]
    best = next(one for one in result.candidates if one.family == "linear")
    assert (best.trial_id, best.score) == ("t3", 0.9999)
    assert (best.folder / "constant.json").exists()


def test_the_time_of_earlier_attempts_counts(tmp_path: Path) -> None:
    attempted(tmp_path, at_s=60.0)
    result = raced(training_set(2), tmp_path, trials=9, minutes=1.0, families=["linear"])
    assert [one.trial_id for one in result.trials] == ["t1", "t3"], "the minute was over"


def test_no_time_at_all_is_told(tmp_path: Path) -> None:
    slow = training_set(2, n_rows=40_000, n_features=60)
    with pytest.raises(TrainingError, match=r"within training\.budget\.minutes = 0\.0001"):
        raced(slow, tmp_path, minutes=0.0001, families=["torch"])


def test_rows_that_teach_nothing_start_no_trial(tmp_path: Path) -> None:
    data = training_set(2)
    with pytest.raises(LabelError, match="nothing to learn"):
        raced(replace(data, y_train=np.zeros_like(data.y_train)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json"}


def test_it_runs_outside_the_main_thread_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results: list[RaceResult] = []
    data = training_set(5)
    thread = threading.Thread(
        target=lambda: results.append(raced(data, tmp_path, trials=1, families=["linear"]))
    )
    thread.start()
    thread.join()
    assert len(results) == 1
    written = capfd.readouterr()
    assert written.out.strip() == "" and written.err.strip() == ""


def test_a_second_race_in_one_folder_replaces_the_first(tmp_path: Path) -> None:
    raced(training_set(2), tmp_path, trials=1, families=["xgboost"])
    result = raced(training_set(2), tmp_path, trials=1, families=["linear"])
    assert {path.name for path in (tmp_path / "candidates").iterdir()} == {"linear", BASELINE}
    assert {one.family for one in result.candidates} == {"linear", BASELINE}


def test_models_of_ones_own_race_beside_the_others(tmp_path: Path) -> None:
    """Workers import the code from its folder; what only a pickle keeps is signed there."""
    code = Path(__file__).parents[2] / "contract" / "training" / "own_code"
    models = {
        "rule": {"function": "mine_models:rule"},
        "closed": {"estimator": "mine_models:Closed", "allow_pickle": True},
        "forest": {
            "estimator": "mine_models:forest",
            "search": {"n_trees": {"low": 3, "high": 9}, "depth": [4, 2]},
        },
    }
    home, data = tmp_path / "runs" / "r-1", training_set(2, n_rows=400)
    given = {"families": ["linear"], "models": models, "code": str(code)}
    result = raced(data, home, trials=6, **given)
    assert {one.family: one.format for one in result.candidates} == {
        "linear": "linear-safetensors",
        "rule": "function-path",
        "closed": "pickle-signed",
        "forest": "sklearn-skops",
        BASELINE: "constant-json",
    }
    assert Counter(trial.family for trial in result.trials)["rule"] == 1
    assert {trial.params["depth"] for trial in result.trials if trial.family == "forest"} <= {2, 4}
    for candidate in result.candidates:
        assert score_of(load_model(candidate.folder, candidate.format), data) == pytest.approx(
            candidate.score
        )
