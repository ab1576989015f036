"""What a retrain's job says that it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config.load import parse_config
from raypipe.config.yaml_text import Plain
from raypipe.control.events import ControllerStarted, Evidence, RetrainDecided
from raypipe.control.ledger import record
from raypipe.control.outcome import read_result
from raypipe.core.files import write_json
from raypipe.registry.store import Registry
from raypipe.runtime.job import gpu_s, main
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version
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


def test_a_job_does_what_was_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback trains nothing; here there is no version to go back to."""
    source: dict[str, Plain] = {"name": "files", "format": "csv", "path": "rows/*.csv"}
    data: dict[str, Plain] = {"sources": [source], "label": "outcome"}
    config = parse_config({"name": "tiny", "home": "home", "data": data}, tmp_path)
    config.root.prepare()
    folder, clock = config.folder, FakeClock()
    registry = Registry(config.root.registry_url, clock)
    register_tiny_version(registry, folder)
    registry.set_alias("tiny", "champion", "v1", reason="the first")
    write_json(folder.config, config.model_dump(mode="json"))
    decided = RetrainDecided(clock.now(), "tiny-retrain-1", "hand", Evidence(), "v1", "rollback")
    for fact in (ControllerStarted(clock.now(), 1, "v1", 1), decided):
        record(registry, "tiny", fact)
    monkeypatch.setattr("sys.argv", ["job", str(folder.root), "tiny-retrain-1"])
    with pytest.raises(SystemExit, match="1"):
        main()
    found = read_result(folder, "tiny-retrain-1")
    assert found is not None and found.error == "no version was the champion of tiny before v1."
