"""A backtest decides as the controller does, from what was known at the time and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.backtest.learner import Fit
from raypipe.backtest.loop import RecordedLoop
from raypipe.backtest.play import Played
from raypipe.backtest.policies import Never
from raypipe.backtest.result import Decision
from raypipe.backtest.settings import Delay
from raypipe.control.actions import Action, JudgeChallenger, Promote, SubmitRetrain
from raypipe.control.events import (
    ChampionChanged,
    ControllerStarted,
    Event,
    GateContinued,
    GateJudged,
    Observation,
    Promoted,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
    Ticked,
)
from raypipe.control.receipts import receipts
from raypipe.control.state import State
from raypipe.control.step import step
from raypipe.stats.intervals import Interval
from raypipe.training.models import Float32Matrix, Float64Array
from tests.unit.backtest.recorded import Recorded, record

LABELS = {"triggers": {"new_labels": 600, "harm": "off"}}


def played(recorded: Recorded, loop: RecordedLoop) -> None:
    for start, end in recorded.stream.looks:
        rows = recorded.stream.rows.slice(start, end - start)
        loop.look(start, end, loop.champion.answers(rows))


def test_its_decisions_are_those_of_step_fed_by_hand(tmp_path: Path) -> None:
    recorded = record(tmp_path, n=2_000, changes_at=900, looks=8)
    loop = recorded.loop()
    seen = list[Observation]()
    measure = loop.traffic.measure

    def watched(champion: str, at: datetime) -> Observation | None:
        found = measure(champion, at)
        seen.append(found or Ticked(at, next((o.n_labels for o in reversed(seen)), None)))
        return found

    loop.traffic.measure = watched  # type: ignore[method-assign,assignment]
    played(recorded, loop)
    facts = loop.facts
    decided = [fact for fact in facts if isinstance(fact, RetrainDecided)]
    assert [one.trigger for one in decided][:1] == ["harm"]

    state, found = State("small"), list[RetrainDecided]()
    looks = {fact.decision: fact for fact in reversed(facts) if isinstance(fact, GateContinued | GateJudged)}
    answers = {type(fact): iter([f for f in facts if type(f) is type(fact)]) for fact in facts}

    def tell(event: Event) -> None:
        nonlocal state
        before, (state, actions) = state, step(state, event, recorded.config.retraining)
        if state.n_decisions > before.n_decisions:
            asked = next(one for one in actions if isinstance(one, SubmitRetrain))
            found.append(
                RetrainDecided(event.at, asked.decision, asked.reason, asked.evidence, state.champion)
            )
        for action in actions:
            if isinstance(action, JudgeChallenger):
                tell(looks[action.decision])
            for follows in _answers(action):
                told = next(answers[follows])
                tell(told)

    tell(next(answers[ChampionChanged]))
    tell(next(answers[ControllerStarted]))
    for observation in seen:
        tell(observation)
    assert [(one.at, one.trigger, one.evidence) for one in found] == [
        (one.at, one.trigger, one.evidence) for one in decided
    ]
    assert state.champion == loop.version


def _answers(action: Action) -> tuple[type[Event], ...]:
    """Return what the shell says once it has done something."""
    match action:
        case SubmitRetrain():
            return RetrainSubmitted, RetrainSucceeded
        case Promote():
            return (Promoted,)
        case _:
            return ()


def test_without_a_change_nothing_is_retrained(tmp_path: Path) -> None:
    found = record(tmp_path, n=1_500, looks=8).played()
    assert (found.n_fits, found.decisions) == (0, ())


def test_a_change_is_found_and_the_challenger_that_knows_it_is_released(tmp_path: Path) -> None:
    recorded = record(tmp_path, changes_at=1_500)
    player = recorded.player()
    found, never = player.loop(recorded.config.retraining), player.beside(Never())
    assert found.decisions is not None
    assert [one.ending for one in found.decisions][-1] == "promoted"
    assert all(one.decided_at > recorded.stream.at(1_500) for one in found.decisions)
    assert _accuracy(recorded, found) > _accuracy(recorded, never) + 0.05


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delay=st.sampled_from([Delay(), Delay(150, "rows"), Delay(3, "looks"), Delay(90 * 3600, "s")]),
    looks=st.integers(4, 7),
    new_labels=st.integers(100, 500),
)
def test_no_row_judges_that_either_was_trained_or_chosen_by(
    tmp_path: Path, delay: Delay, looks: int, new_labels: int
) -> None:
    recorded = record(tmp_path, n=900, label_delay=delay, looks=looks)
    recorded = recorded.under(triggers={"new_labels": new_labels, "harm": "off"})
    loop = recorded.loop()
    champions = dict[str, str]()
    submit = loop.submit

    def watched(decision: str) -> None:
        n_known, champion = recorded.stream.known(loop.traffic._n_answered), loop.version
        submit(decision)
        made = loop.results[decision].version
        if made is not None:
            champions[made] = champion
            assert loop.fits[made].n_known <= n_known

    loop.submit = watched  # type: ignore[method-assign]
    played(recorded, loop)
    for made, champion in champions.items():
        cut, before = loop.fits[made].cut, loop.fits[champion]
        own = {*cut.train.tolist(), *cut.validation.tolist()}
        judges = set(cut.test.tolist())
        assert judges and not judges & own
        assert min(judges) >= max(before.n_known, recorded.stream.n_history)
        assert max(judges | own) < loop.fits[made].n_known


def test_a_retrain_with_too_few_new_labels_fails_and_is_told(tmp_path: Path) -> None:
    recorded = record(tmp_path, n=400, looks=10, label_delay=Delay(28, "rows"))
    loop = recorded.under(triggers={"new_labels": 1, "harm": "off"}).loop()
    start, end = recorded.stream.looks[0]
    loop.look(start, end, loop.champion.answers(recorded.stream.rows.slice(start, end - start)))
    assert loop.state("small-retrain-1") == "failed"
    assert "2 labelled rows are new" in loop.results["small-retrain-1"].error


def test_a_rollback_goes_back_to_the_former_champion_if_later_rows_say_so(tmp_path: Path) -> None:
    recorded = record(tmp_path, n=1_200, looks=3).under(
        triggers={"new_labels": 250, "harm": "off", "actions": {"labels": "rollback"}}
    )
    loop = recorded.loop()
    looks = recorded.stream.looks
    tell = loop.look
    tell(*looks[0], loop.champion.answers(recorded.stream.rows.slice(looks[0][0], 300)))
    assert "no version was the champion before v1" in loop.results["small-retrain-1"].error

    wrong = _the_other_way_round(loop.champion)
    loop.promote(loop._made(replace(wrong, n_known=looks[0][1])), "v1", "by mistake", 1)
    tell(*looks[1], loop.champion.answers(recorded.stream.rows.slice(looks[1][0], 300)))
    found = loop.results["small-retrain-2"].comparison
    assert found is not None
    assert (found.champion, found.challenger, found.n_rows) == ("v2", "v1", 300)
    assert (found.gain or 0) > 0.2
    assert loop.version == "v1"


@pytest.mark.parametrize("mode", ["approve", "manual"])
def test_nobody_is_asked_and_manual_is_never(tmp_path: Path, mode: str) -> None:
    recorded = record(tmp_path, n=1_500, looks=4).under(mode=mode, **LABELS)
    found = recorded.played()
    assert found.n_fits == (0 if mode == "manual" else 1)


def test_rows_that_come_after_an_inconclusive_first_look_go_on_to_judge(tmp_path: Path) -> None:
    recorded = record(tmp_path, n=1_600, changes_at=700, looks=8).under(
        triggers={"new_labels": 260, "harm": "off"},
        gate={"min_rows": 20, "wait_labels": 300, "deadline_s": 1e8},
    )
    loop = recorded.loop()
    played(recorded, loop)
    went_on = [fact for fact in loop.facts if isinstance(fact, GateContinued)]
    judged = {fact.decision: fact for fact in loop.facts if isinstance(fact, GateJudged)}
    assert went_on
    for fact in went_on:
        verdict = judged[fact.decision]
        assert verdict.at > fact.at
        assert 0 < verdict.n_rows <= 300
    told = {one.decision: Decision.of(one) for one in receipts(loop.facts, "small")}
    first = went_on[0]
    assert told[first.decision].n_judged == first.n_rows + judged[first.decision].n_rows
    assert first.gain is not None
    assert told[first.decision].gain == Interval(first.gain.value, first.gain.low, first.gain.high)


def _the_other_way_round(fit: Fit) -> Fit:
    class Wrong:
        format = "none"

        def predict(self, features: Float32Matrix) -> Float64Array:
            return np.ascontiguousarray(fit.predictor.model.predict(features)[:, ::-1])

        def save(self, folder: Path) -> None:
            raise NotImplementedError

    return replace(fit, predictor=replace(fit.predictor, model=Wrong()))


def _accuracy(recorded: Recorded, found: Played) -> float:
    given = [one.task.classes[code] for one in found.answered for code in one.raw.argmax(axis=1)]
    return float(np.mean(np.array(given) == recorded.stream.played["label"].to_numpy()))
