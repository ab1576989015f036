"""What the search tries next and what it stops, on Ray Tune: optuna proposes, successive halving stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raypipe.training.family import Family, ParamValue
from raypipe.training.kept import EndedTrial
from raypipe.training.race import TrainingSet
from raypipe.training.search import FAMILY, N_RUNGS, REDUCTION, asked, chosen, next_family, points_of, suggest

_N_RANDOM_TRIALS = 5
"""The defaults and four at random; of ten trials, optuna's usual ten would leave none to learn from."""


class SearchByFamily(Searcher):  # type: ignore[misc]  # Ray is untyped here
    """Asks the families in turn; each learns from its own trials alone.

    One study of all would split their trials together into good and bad, and so learn nothing within a
    family whose trials are all better, or all worse, than the others'.
    """

    def __init__(
        self, of_family: Mapping[str, Searcher], families: Mapping[str, Family], data: TrainingSet, mode: str
    ) -> None:
        super().__init__(metric="score", mode=mode)
        self._families = families
        self._of_family = of_family
        self._data = data
        self._n_trials = dict.fromkeys(of_family, 0)
        self._of_trial: dict[str, Searcher] = {}

    def suggest(self, trial_id: str) -> dict[str, ParamValue] | str | None:
        if trial_id not in self._of_trial:
            left = {name: n for name, n in self._n_trials.items() if not self._is_tried(name)}
            if not left:
                return str(Searcher.FINISHED)
            self._begin(trial_id, next_family(left, self._families, self._data.task))
        params: dict[str, ParamValue] | None = self._of_trial[trial_id].suggest(trial_id)
        return params

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._of_trial[trial_id].on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._of_trial[trial_id].on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: a race is gone on with from the trials that it kept."""

    def learn(self, ended: EndedTrial) -> None:
        """Take in a trial of an earlier attempt; its family's searcher proposes its parameters first."""
        summary = ended.standing.summary
        self._begin(summary.trial_id, summary.family)
        self.suggest(summary.trial_id)
        self.on_trial_complete(summary.trial_id, {"score": summary.score})

    def _is_tried(self, family: str) -> bool:
        """Whether another trial could only be one that was: nothing of the family is searched."""
        n_points = max(1, len(self._data.windows))
        return self._n_trials[family] >= n_points and not self._families[family].space(self._data.task)

    def _begin(self, trial_id: str, family: str) -> None:
        self._n_trials[family] += 1
        self._of_trial[trial_id] = self._of_family[family]


def searcher(
    data: TrainingSet, families: Mapping[str, Family], seed: int, mode: str, past: Sequence[EndedTrial]
) -> SearchByFamily:
    """Return the searcher of a race, with what earlier attempts of it found."""
    of_family: dict[str, Searcher] = {
        name: _parzen(family, data, seed, mode, past) for name, family in families.items()
    }
    search = SearchByFamily(of_family, families, data, mode)
    for ended in past:
        search.learn(ended)
    return search


def _parzen(family: Family, data: TrainingSet, seed: int, mode: str, past: Sequence[EndedTrial]) -> Searcher:
    """Return a seeded tree-structured Parzen estimator; imported here, as the workers do without it.

    The past moves the seed: from the same one the first random proposals would be those of the past again.
    """
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = [asked(family.name, one.standing.summary.params) for one in _of(family.name, past)]
    return OptunaSearch(
        partial(suggest, family=family, task=data.task, windows=data.windows),
        metric="score",
        mode=mode,
        points_to_evaluate=points_of(family, data.task, data.windows, tried),
        sampler=optuna.samplers.TPESampler(
            seed=(seed + len(past)) % 2**32, n_startup_trials=_N_RANDOM_TRIALS
        ),
    )


def _of(family: str, past: Sequence[EndedTrial]) -> list[EndedTrial]:
    return [one for one in past if one.standing.summary.family == family]


class HalvingByFamily(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped here
    """Asynchronous successive halving (Li et al. 2020) within each family.

    A rung of one family says nothing about a rung of another: 20 trees are no share of an epoch.
    """

    def __init__(self, families: Mapping[str, Family], mode: str) -> None:
        super().__init__()
        self._of_family: dict[str, TrialScheduler] = {
            name: _halving(mode) for name, family in families.items() if family.in_parts
        }

    def _of(self, trial: Trial) -> TrialScheduler:
        return self._of_family.get(chosen(trial.config)[0], _NEVER_STOPS)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return str(self._of(trial).on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_remove(tune_controller, trial)

    def learn(self, ended: EndedTrial) -> None:
        """Take in a trial of an earlier attempt: later ones are compared with it at each rung."""
        summary = ended.standing.summary
        trial = _PastTrial(summary.trial_id, {FAMILY: summary.family})
        self.on_trial_add(None, trial)
        for rung, score in ended.scores:
            self.on_trial_result(None, trial, {"rung": rung, "score": score})


@dataclass(frozen=True)
class _PastTrial:
    """As much of Tune's trial as a scheduler looks at."""

    trial_id: str
    config: Mapping[str, ParamValue]


def scheduler(families: Mapping[str, Family], mode: str, past: Sequence[EndedTrial]) -> HalvingByFamily:
    """Return the scheduler of a race, with what earlier attempts of it reported."""
    halving = HalvingByFamily(families, mode)
    for ended in past:
        halving.learn(ended)
    return halving


_NEVER_STOPS = FIFOScheduler()


def _halving(mode: str) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr="rung", metric="score", mode=mode, max_t=N_RUNGS, grace_period=1, reduction_factor=REDUCTION
    )
