from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import RunUnderWay, StorageError
from raypipe.training.kept import (
    EndedTrial,
    RunFolder,
    data_of,
    n_ended,
    open_run,
    remove_leftovers,
    training_s,
)
from raypipe.training.race import TrialStatus, TrialSummary
from raypipe.training.standings import Standing


def ended(
    place: Path,
    number: int,
    *,
    family: str = "linear",
    score: float = 0.75,
    status: TrialStatus = "finished",
    attempt: int = 1,
    scores: tuple[tuple[int, float], ...] = ((1, 0.5), (3, 0.75)),
) -> EndedTrial:
    """Return a trial whose model lies where a search saved it."""
    saved = place / "saved" / str(number)
    saved.mkdir(parents=True)
    (saved / "model.json").write_text(f"model {number}")
    params = {"strength": 0.1 + 0.2, "depth": 3, "kind": "a"}
    summary = TrialSummary(f"t{number}", family, params, score, status, 3, 1.5, "", attempt)
    return EndedTrial(Standing(summary, "linear-safetensors", saved), scores, 2.5 * number)


def texts(trials: tuple[EndedTrial, ...]) -> list[str]:
    found = [one.standing.folder for one in trials]
    return [(folder / "model.json").read_text() for folder in found if folder is not None]


def test_what_ended_is_there_for_the_next_attempt(tmp_path: Path) -> None:
    run = tmp_path / "r-1"
    with open_run(run, content="c-1", data="d-1") as kept:
        assert kept.attempt == 1 and kept.before(9) == ()
        for number in (10, 2):
            kept.keep_trial(ended(tmp_path, number))
    with open_run(run, content="c-1", data="d-1") as kept:
        assert kept.attempt == 2
        assert kept.before(9) == ("race: 2 of 9 trials were finished before",)
        trials = kept.trials()
    assert [one.standing.summary.trial_id for one in trials] == ["t2", "t10"]
    assert texts(trials) == ["model 2", "model 10"]
    assert trials[0].standing.summary.params == {"strength": 0.1 + 0.2, "depth": 3, "kind": "a"}
    assert trials[0].scores == ((1, 0.5), (3, 0.75)) and trials[0].at_s == 5.0
    assert (n_ended(run), data_of(run)) == (2, "d-1")


def test_a_model_moves_and_is_not_copied(tmp_path: Path) -> None:
    one = ended(tmp_path, 1)
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        kept.keep_trial(one)
    assert one.standing.folder is not None and not one.standing.folder.exists()


@pytest.mark.parametrize("changed", [{"content": "c-2"}, {"fresh": True}])
def test_what_was_made_from_something_else_does_not_count(tmp_path: Path, changed: dict[str, object]) -> None:
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        kept.keep_trial(ended(tmp_path, 1))
        kept.keep("judge", {"winner": "linear"})
    with open_run(tmp_path / "r-1", **{"content": "c-1", "data": "d-2", **changed}) as kept:  # type: ignore[arg-type]
        assert (kept.attempt, kept.trials(), kept.race(), kept.found("judge")) == (1, (), None, None)
    assert data_of(tmp_path / "r-1") == "d-2"


def test_a_run_is_carried_out_once_at_a_time(tmp_path: Path) -> None:
    with open_run(tmp_path / "r-1", content="c-1", data="d-1"):
        with (
            pytest.raises(RunUnderWay, match="another process carries out the run r-1"),
            open_run(tmp_path / "r-1", content="c-1", data="d-1"),
        ):
            pass
        assert n_ended(tmp_path / "r-1") == 0
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        assert kept.attempt == 2


def test_what_was_cut_off_half_way_is_removed(tmp_path: Path) -> None:
    run = tmp_path / "r-1"
    with open_run(run, content="c-1", data="d-1") as kept:
        kept.keep_trial(ended(tmp_path, 1))
        (kept.search / "trials").mkdir(parents=True)
        for place in (run / "trials" / ".t2.part", run / "candidates.part"):
            place.mkdir()
            (place / "trial.json").write_text("{")
    assert n_ended(run) == 1
    with open_run(run, content="c-1", data="d-1") as kept:
        assert {path.name for path in run.iterdir()} == {".lock", "run.json", "trials"}
        assert [path.name for path in (run / "trials").iterdir()] == ["t1"]
        assert kept.search.name == "search-2"


def raced(kept: RunFolder, place: Path) -> None:
    trials = [kept.keep_trial(ended(place, 1)), kept.keep_trial(ended(place, 2, family="xgboost"))]
    kept.keep_race([one.standing for one in trials], [one.standing.summary for one in trials])


def test_a_race_that_is_over_is_known_with_its_models(tmp_path: Path) -> None:
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        assert kept.race() is None
        raced(kept, tmp_path)
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        assert kept.before(2) == ("race: finished before",)
        found = kept.race()
    assert found is not None
    assert [one.family for one in found.candidates] == ["linear", "xgboost"]
    assert [(one.folder / "model.json").read_text() for one in found.candidates] == ["model 1", "model 2"]
    assert [one.trial_id for one in found.trials] == ["t1", "t2"]
    assert not (tmp_path / "r-1" / "trials").exists(), "the other models have served"
    assert training_s(tmp_path / "r-1") == 3.0


def test_a_race_cut_off_while_it_was_kept_is_kept_again(tmp_path: Path) -> None:
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        trials = [kept.keep_trial(ended(tmp_path, 1))]
        (kept.path / "candidates" / "linear").mkdir(parents=True)
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        assert kept.race() is None and len(kept.trials()) == 1
        found = kept.keep_race([kept.trials()[0].standing], [trials[0].standing.summary])
    assert (found.candidates[0].folder / "model.json").read_text() == "model 1"


def test_later_stages_are_known_by_their_names(tmp_path: Path) -> None:
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        raced(kept, tmp_path)
        assert kept.found("judge") is None
        kept.keep("judge", {"winner": "linear"})
    with open_run(tmp_path / "r-1", content="c-1", data="d-1") as kept:
        assert kept.found("judge") == {"winner": "linear"}
        assert kept.before(2) == ("race: finished before", "judge: finished before")


def test_only_dead_runs_are_tidied(tmp_path: Path) -> None:
    runs, staging = tmp_path / "runs", tmp_path / "staging"
    for name in ("dead", "alive"):
        with open_run(runs / name, content="c-1", data="d-1") as kept:
            kept.keep_trial(ended(tmp_path / name, 1))
            kept.search.mkdir()
        (staging / name).mkdir(parents=True)
    (staging / "forgotten").mkdir()
    with open_run(runs / "alive", content="c-1", data="d-1") as kept:
        kept.search.mkdir()
        remove_leftovers(runs, staging)
        assert kept.search.exists()
    assert [path.name for path in staging.iterdir()] == ["alive"]
    assert {path.name for path in (runs / "dead").iterdir()} == {".lock", "run.json", "trials"}
    assert n_ended(runs / "dead") == 1
    remove_leftovers(tmp_path / "none", staging)


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "r-1").write_text("")
    with (
        pytest.raises(StorageError, match="r-1 cannot be written"),
        open_run(tmp_path / "r-1", content="c", data="d"),
    ):
        pass


@given(
    scores=st.lists(
        st.tuples(st.integers(1, 9), st.floats(allow_nan=False, allow_infinity=False)), max_size=9
    ),
    at_s=st.floats(0, 1e6),
)
def test_numbers_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, scores: list[tuple[int, float]], at_s: float
) -> None:
    kept = RunFolder(tmp_path_factory.mktemp("run"))
    summary = TrialSummary("t1", "linear", {"strength": at_s}, None, "stopped", 1, at_s)
    one = EndedTrial(Standing(summary, "", None), tuple(scores), at_s)
    assert kept.keep_trial(one) == one
    assert kept.trials() == (one,)
    assert json.loads((kept.path / "trials" / "t1" / "trial.json").read_text())["at_s"] == at_s
