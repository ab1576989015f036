"""What a retrain's job says that it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.runtime.job import gpu_s
from raypipe.training.kept import RunFolder
from raypipe.training.race import TrialSummary
from raypipe.training.standings import Standing


@pytest.mark.parametrize(("gpus", "took"), [(0.0, None), (0.5, 6.0), (2.0, 24.0)])
def test_gpu_seconds_are_those_that_trials_held_failed_ones_too(
    tmp_path: Path, gpus: float, took: float | None
) -> None:
    trials = [
        TrialSummary("t1", "torch", {}, 0.7, "finished", 9, 6.0, held_s=8.0),
        TrialSummary("t2", "torch", {}, None, "failed", 0, 0.0, "no memory", held_s=4.0),
    ]
    model = tmp_path / "model"
    model.mkdir()
    RunFolder(tmp_path).keep_race([Standing(trials[0], "constant-json", model)], trials)
    assert gpu_s(gpus, tmp_path) == took
