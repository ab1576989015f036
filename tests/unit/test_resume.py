"""A run that dies is gone on with: each stage that was finished is found, and no Ray is asked for again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv

from raypipe.api.data import PipelineData
from raypipe.config.load import parse_config
from raypipe.config.yaml_text import Plain
from raypipe.core.errors import DataError, StorageError, TrainingError
from raypipe.core.progress import Step
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once
from raypipe.data.versions import DataVersion
from raypipe.data.wal import WalWriter
from raypipe.pipeline import Outcome
from raypipe.registry.store import ModelVersion, Registry
from raypipe.retraining import RetrainingLoop
from raypipe.testing import FakeClock
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.importance import Importance, read_importance
from raypipe.training.kept import EndedTrial, RunFolder
from raypipe.training.leaderboard import BASELINE, Leaderboard
from raypipe.training.learned import Learned
from raypipe.training.prepared import Prepared
from raypipe.training.race import RaceResult, TrainingSet, TrialSummary
from raypipe.training.standings import Standing
from raypipe.training.trials import Trials

N_TRIALS = 3


@dataclass(frozen=True)
class MortalLoop(RetrainingLoop):
    """A loop whose stages are counted, and one of which dies at its end the first time."""

    dies_in: str = ""
    done: Counter[str] = field(default_factory=Counter)

    def race(self, kept: RunFolder, features: TrainingSet, trials: Trials) -> RaceResult:
        for number in range(len(kept.trials()) + 1, N_TRIALS + 1):
            self._die("race") if number == 2 else None
            self.done["trial"] += 1
            folder = kept.path / f"saved-{number}"
            folder.mkdir()
            model = ConstantModel((0.5, 0.5), None)
            model.save(folder)
            summary = TrialSummary(f"t{number}", BASELINE, {}, 0.5, "finished", 1, 0.1, "", kept.attempt)
            kept.keep_trial(EndedTrial(Standing(summary, model.format, folder), ((1, 0.5),), 0.1))
        ended = [one.standing for one in kept.trials()]
        return kept.keep_race(ended[:1], [one.summary for one in ended])

    def judge(self, prepared: Prepared, features: TrainingSet, race: RaceResult) -> Leaderboard:
        self._die("judge")
        self.done["judge"] += 1
        return super().judge(prepared, features, race)

    def weigh(
        self,
        prepared: Prepared,
        features: TrainingSet,
        race: RaceResult,
        leaderboard: Leaderboard,
        trials: Trials,
    ) -> Importance | None:
        self._die("importance")
        self.done["importance"] += 1
        return super().weigh(prepared, features, race, leaderboard, trials)

    def register(self, run: str, data: DataVersion, prepared: Prepared, learned: Learned) -> ModelVersion:
        (self.config.folder.staging / run).mkdir(parents=True, exist_ok=True)
        self._die("register")
        return super().register(run, data, prepared, learned)

    def _die(self, stage: str) -> None:
        if stage == self.dies_in and not self.done[f"died in {stage}"]:
            self.done[f"died in {stage}"] += 1
            raise TrainingError("killed")


@dataclass
class Ray:
    """Counts how often a Ray was asked for."""

    n_asked: int = 0

    @contextmanager
    def __call__(self) -> Iterator[Trials]:
        self.n_asked += 1
        yield Trials(1.0, 1)


def looped(place: Path, dies_in: str = "", **settings: Plain) -> tuple[MortalLoop, Ray, list[str]]:
    said: list[str] = []

    def say(step: Step) -> None:
        said.append(f"{step.stage}: {step.message}")

    table = pa.table({"x": list(range(200)), "y": [i % 2 for i in range(200)]})
    csv.write_csv(table, place / "rows.csv")
    config = parse_config(
        {
            "name": "credit",
            "home": "home",
            "data": {"sources": [{"name": "files", "format": "csv", "path": "rows.csv"}], "label": "y"},
            "training": {"budget": {"trials": N_TRIALS}, **settings},
        },
        place,
    )
    config.root.prepare()
    clock, ray = FakeClock(), Ray()
    return MortalLoop(config, Registry(config.root.registry_url, clock), clock, ray, say, dies_in), ray, said


@pytest.mark.parametrize(
    ("dies_in", "before", "n_rays"),
    [
        ("race", ("race: 1 of 3 trials were finished before",), 2),
        ("judge", ("race: finished before",), 2),
        ("importance", ("race: finished before", "judge: finished before"), 2),
        ("register", ("race: finished before", "judge: finished before", "importance: finished before"), 1),
    ],
)
def test_what_was_finished_is_not_done_again(
    tmp_path: Path, dies_in: str, before: tuple[str, ...], n_rays: int
) -> None:
    loop, ray, said = looped(tmp_path, dies_in)
    with pytest.raises(TrainingError, match="killed"):
        loop.run()
    outcome = loop.run()
    assert outcome.before == before
    assert [line.removeprefix("resume: ") for line in said if line.startswith("resume")] == list(before)
    assert {stage: loop.done[stage] for stage in ("trial", "judge", "importance")} == {
        "trial": N_TRIALS,
        "judge": 1,
        "importance": 1,
    }
    assert ray.n_asked == n_rays
    assert (outcome.version.version, outcome.is_new) == ("v1", True)
    assert loop.run().is_new is False and ray.n_asked == n_rays
    assert list(loop.config.folder.staging.iterdir()) == []


def test_what_is_registered_is_what_a_run_in_one_go_registers(tmp_path: Path) -> None:
    def made(dies_in: str) -> Outcome:
        place = tmp_path / (dies_in or "whole")
        place.mkdir()
        loop, _, _ = looped(place, dies_in)
        if dies_in:
            with pytest.raises(TrainingError):
                loop.run()
        outcome = loop.run()
        importance = read_importance(loop.config.folder.model("v1"))
        assert importance is not None and importance.columns[0].column == "x"
        return outcome

    whole, resumed = made(""), made("register")
    assert whole.run == resumed.run
    assert whole.leaderboard.best.test == resumed.leaderboard.best.test


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    loop, _, _ = looped(tmp_path, "judge")
    with pytest.raises(TrainingError):
        loop.run()
    other, _, _ = looped(tmp_path, seed=1)
    assert other.run().before == ()
    assert other.done["trial"] == N_TRIALS


def test_force_does_all_again(tmp_path: Path) -> None:
    loop, _, _ = looped(tmp_path, "judge")
    with pytest.raises(TrainingError):
        loop.run()
    assert loop.run(force=True).before == ()
    assert loop.done["trial"] == 2 * N_TRIALS
    again = loop.run(force=True)
    assert (again.version.version, again.is_new, loop.done["trial"]) == ("v2", True, 3 * N_TRIALS)


def test_importance_can_be_left_out(tmp_path: Path) -> None:
    loop, _, _ = looped(tmp_path, "register", importance={"enabled": False})
    with pytest.raises(TrainingError):
        loop.run()
    assert loop.run().before == ("race: finished before", "judge: finished before")
    assert loop.done["judge"] == 1
    assert read_importance(loop.config.folder.model("v1")) is None


@pytest.mark.parametrize("stage", ["race", "register"])
def test_a_run_whose_rows_were_erased_meanwhile_registers_nothing(tmp_path: Path, stage: str) -> None:
    @dataclass(frozen=True)
    class Erasing(MortalLoop):
        def _die(self, stage: str) -> None:
            if stage == self.dies_in and not self.done["erased"]:
                self.done["erased"] += 1
                data = PipelineData(self.config, self.registry, self.clock)
                assert data.erase({"x": [0, 7]}, reason="asked to").counts.n_rows == 2

    base, _, _ = looped(tmp_path)
    loop = Erasing(base.config, base.registry, base.clock, base.compute, dies_in=stage)
    with pytest.raises(DataError, match=r"rows of people were erased from d-\w+ since this run read them"):
        loop.run()
    assert loop.registry.model_versions("credit") == ()
    assert list(loop.config.folder.runs.iterdir()) == []
    outcome = loop.run()
    assert outcome.is_new and outcome.before == ()
    assert outcome.data.n_rows == 198 and loop.run().is_new is False


def capture(loop: RetrainingLoop, stream: str, n_rows: int) -> None:
    """Write answered rows with their labels through the log into the tables."""
    writer = WalWriter(loop.config.folder.wal, stream, loop.clock)
    writer.open()
    for n in range(n_rows):
        at = loop.clock.now() + timedelta(seconds=n)
        answer = PredictionRecord(f"{stream}-{n}", at, "v1", "champion", f'{{"x": {n}}}', 0, (0.5, 0.5))
        writer.append_all([encode(answer), encode(LabelRecord(answer.id, n % 2, at))])
    writer.close()
    commit_once(loop.config.folder)


def test_a_retrain_that_died_goes_on_with_its_rows_though_labels_came_meanwhile(tmp_path: Path) -> None:
    first, _, _ = looped(tmp_path)
    first.releases.release(first.run().version.version, expected=None, reason="the first")
    capture(first, "s1", 600)
    loop, ray, _ = looped(tmp_path, "race")
    with pytest.raises(TrainingError, match="killed"):
        loop.retrain("credit-retrain-1")
    capture(loop, "s2", 400)
    outcome, prepared = loop.retrain("credit-retrain-1")
    assert outcome.before == ("race: 1 of 3 trials were finished before",)
    assert loop.done["trial"] == N_TRIALS and ray.n_asked == 2
    assert outcome.data.n_rows == 200 + 600 and prepared.champion == "v1"
    again, _ = loop.retrain("credit-retrain-1")
    assert (again.is_new, again.version.version) == (False, "v2") and ray.n_asked == 2


def test_a_run_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    loop, _, _ = looped(tmp_path)
    loop.config.folder.runs.parent.mkdir(parents=True)
    loop.config.folder.runs.write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        loop.run()
