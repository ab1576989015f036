"""What is proposed and stopped after an earlier attempt; Ray's classes, but no cluster."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raypipe.testing.training import training_set
from raypipe.training.family import family_of
from raypipe.training.kept import EndedTrial
from raypipe.training.race import TrialSummary
from raypipe.training.search import chosen, defaults, first_points
from raypipe.training.standings import Standing

FAMILIES = ("linear", "xgboost")
DATA = training_set(2)
FAMILY = {name: family_of(name) for name in FAMILIES}


def score_of(params: Any) -> float:
    return 1.0 / (1.0 + sum(float(value) for value in params.values()))


def lived(n_trials: int, past: tuple[EndedTrial, ...] = ()) -> tuple[EndedTrial, ...]:
    """Return the trials of a race, one after the other, that goes on from earlier ones."""
    from raypipe.training.on_ray.proposals import searcher

    search, ended = searcher(DATA, FAMILY, 0, "max", past), list(past)
    for number in range(len(past) + 1, n_trials + 1):
        family, params = chosen(search.suggest(f"new{number}"))
        score = score_of(params)
        search.on_trial_complete(f"new{number}", {"score": score})
        summary = TrialSummary(f"t{number}", family, params, score, "finished", 9, 1.0)
        ended.append(EndedTrial(Standing(summary, "f", Path("m")), ((1, score), (3, score), (9, score)), 1.0))
    return tuple(ended)


@pytest.mark.parametrize("n_past", [1, 2, 3, 7, 20])
def test_nothing_is_proposed_that_was_tried_before(n_past: int) -> None:
    trials = lived(n_past + 12, lived(n_past))
    tried = [(one.standing.summary.family, tuple(one.standing.summary.params.items())) for one in trials]
    assert len(set(tried)) == len(tried)
    for family in FAMILIES:
        assert (family, tuple(defaults(FAMILY[family], DATA.task).items())) in tried


def test_the_families_shares_count_what_was_before() -> None:
    whole, resumed = lived(24), lived(24, lived(11))
    assert Counter(one.standing.summary.family for one in whole) == Counter(
        one.standing.summary.family for one in resumed
    )


def test_the_search_knows_the_scores_of_before() -> None:
    from raypipe.training.on_ray.proposals import searcher

    past = lived(15)
    search = searcher(DATA, FAMILY, 0, "max", past)
    for family in FAMILIES:
        of_family = [one.standing.summary for one in past if one.standing.summary.family == family]
        study = search._of_family[family]._ot_study
        found = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        assert [trial.value for trial in found] == [one.score for one in of_family]
        assert [
            {name.removeprefix(f"{family}."): value for name, value in trial.params.items()}
            for trial in found
        ] == [dict(one.params) for one in of_family]


def test_each_window_that_was_not_tried_is_still_tried() -> None:
    from raypipe.training.search import points_of

    first = first_points(FAMILY["linear"], DATA.task, (100, 400))
    assert points_of(FAMILY["linear"], DATA.task, (100, 400), [first[1]]) == [first[1], first[0]]


@dataclass
class Runs:
    trial_id: str
    config: dict[str, str]


@pytest.mark.parametrize(("score", "action"), [(0.1, "STOP"), (0.99, "CONTINUE")])
def test_a_trial_is_held_against_those_of_before(score: float, action: str) -> None:
    from raypipe.training.on_ray.proposals import scheduler

    summary = TrialSummary("t1", "xgboost", {}, 0.9, "finished", 9, 1.0)
    past = EndedTrial(Standing(summary), ((1, 0.8), (3, 0.85), (9, 0.9)), 1.0)
    halving = scheduler(FAMILY, "max", [past])
    trial = Runs("new", {"family": "xgboost"})
    halving.on_trial_add(None, trial)
    assert halving.on_trial_result(None, trial, {"rung": 1, "score": score}) == action
    other = Runs("other", {"family": "linear"})
    halving.on_trial_add(None, other)
    assert halving.on_trial_result(None, other, {"rung": 1, "score": 0.0}) == "CONTINUE"


def test_a_model_of_which_nothing_is_searched_has_one_trial() -> None:
    from raypipe.training.on_ray.proposals import searcher

    families = {"baseline": family_of("baseline"), "linear": FAMILY["linear"]}
    search = searcher(DATA, families, 0, "max", ())
    proposed = [chosen(search.suggest(f"t{number}"))[0] for number in range(4)]
    assert proposed.count("baseline") == 1
    alone = searcher(DATA, {"baseline": families["baseline"]}, 0, "max", ())
    assert alone.suggest("t1") == {"family": "baseline"}
    assert alone.suggest("t2") == "FINISHED"
