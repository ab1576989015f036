"""One event at a time: what follows, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raypipe.control.actions import (
    Action,
    AskApproval,
    FollowRetrain,
    JudgeChallenger,
    Promote,
    Record,
    Reject,
    SendAlert,
    StopRetrain,
    SubmitRetrain,
)
from raypipe.control.events import (
    POLICY,
    AlertRaised,
    AlertSent,
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Fact,
    GateJudged,
    Harm,
    Promoted,
    PromotionFailed,
    Quality,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
    RolledBack,
    Ticked,
    WindowScored,
)
from raypipe.control.happening import Verdict
from raypipe.control.ledger import fold_facts
from raypipe.control.state import AwaitingApproval, Gating, Promoting, Retraining, State, Watching
from raypipe.control.step import resume, step
from raypipe.monitoring.decay import Decay
from raypipe.policy.config import RetrainingSettings

START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = "flights-retrain-1"
EPOCH = 3


class Live:
    """A controller whose shell does nothing but keep the ledger and the actions."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = RetrainingSettings.model_validate(settings or {})
        self.state = State("flights")
        self.ledger: list[Fact] = []
        self.now = START
        schedule = self.settings.triggers.schedule
        self.tell(
            ControllerStarted(START, EPOCH, "v1", champion_epoch=2, schedule=schedule, controller=EPOCH)
        )

    def tell(self, event: Event) -> list[Action]:
        """Return what shall be done beside recording."""
        by_people = (RetrainRequested, Approved, Rejected, RolledBack, ChampionChanged)
        if isinstance(event, by_people) and event.controller is None:
            self.ledger.append(event)
        self.state, actions = step(self.state, event, self.settings)
        self.ledger += [action.fact for action in actions if isinstance(action, Record)]
        assert fold_facts(self.ledger, "flights") == self.state
        return [action for action in actions if not isinstance(action, (Record, SendAlert))]

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def window(self, n_labels: int, accuracy: float | None = 0.9, *drifted: str) -> list[Action]:
        quality = accuracy and Quality("accuracy", True, accuracy, accuracy - 0.02, accuracy + 0.02, 300)
        version = self.state.champion or ""
        return self.tell(WindowScored(self.now, version, n_labels, quality or None, drifted))

    def tick(self, seconds: float = 1.0, n_labels: int | None = None) -> list[Action]:
        return self.tell(Ticked(self.later(seconds), n_labels, controller=EPOCH))

    def asked(self) -> Live:
        """Have a person ask for a retrain, and the controller decide on it."""
        self.tell(RetrainRequested(self.now, "ann"))
        self.tick()
        return self

    def trained(self, version: str = "v2") -> Live:
        self.tell(RetrainSubmitted(self.now, self.decision, controller=EPOCH))
        self.tell(RetrainSucceeded(self.later(60), self.decision, version, "d-2", controller=EPOCH))
        return self

    def judged(self, verdict: Verdict, over: str = "v1") -> list[Action]:
        return self.tell(GateJudged(self.later(5), self.decision, "v2", over, verdict, 400, controller=EPOCH))

    @property
    def decision(self) -> str:
        return self.state.decision or ""


def bounded(**settings: object) -> Live:
    return Live({"triggers": {"quality_bound": 0.8}, **settings})


def test_the_whole_way_from_a_fall_to_a_new_champion() -> None:
    live = bounded()
    assert live.window(300, 0.9) == []
    [submit] = live.window(320, 0.6)
    assert isinstance(submit, SubmitRetrain)
    assert (submit.decision, submit.reason, submit.evidence.n_new_labels) == (FIRST, "quality", 320)
    assert live.tell(RetrainSubmitted(live.now, FIRST, controller=EPOCH)) == [FollowRetrain(FIRST)]
    made = RetrainSucceeded(live.later(60), FIRST, "v2", "d-2", controller=EPOCH)
    assert live.tell(made) == [JudgeChallenger(FIRST, "v2", "v1")]
    assert live.judged("pass") == [Promote(FIRST, "v2", "v1")]
    assert live.tell(Promoted(live.later(2), FIRST, "v2", 9, controller=EPOCH)) == []
    assert (live.state.phase, live.state.champion, live.state.champion_epoch) == (Watching(), "v2", 9)


def test_a_fact_is_recorded_before_what_follows_from_it() -> None:
    live = bounded()
    _, actions = step(
        live.state,
        WindowScored(live.now, "v1", 500, Quality("accuracy", True, 0.5, 0.4, 0.6, 300)),
        live.settings,
    )
    kinds = [
        type(action.fact).__name__ if isinstance(action, Record) else type(action).__name__
        for action in actions
    ]
    assert kinds == ["AlertRaised", "SendAlert", "RetrainDecided", "SubmitRetrain"]


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_the_champion_stays_unless_the_gate_is_passed(verdict: Verdict) -> None:
    live = Live().asked().trained()
    assert live.judged(verdict) == [Reject(FIRST, "v2", verdict)]
    assert (live.state.phase, live.state.champion) == (Watching(), "v1")
    assert [alert.key for alert in live.state.unsent] == [f"{FIRST}/gate"]


def test_the_interval_and_not_the_score_must_be_beyond_the_bound() -> None:
    live = bounded()
    assert live.window(300, 0.79) == []
    assert live.window(300, 0.77) != []


def test_an_error_is_too_large_above_its_bound() -> None:
    live = Live({"triggers": {"quality_bound": 5.0}})
    for value, n_actions in ((4.0, 0), (5.1, 0), (6.0, 1)):
        quality = Quality("mae", False, value, value - 0.2, value + 0.2, 300)
        assert len(live.tell(WindowScored(live.now, "v1", 500, quality))) == n_actions


def test_a_window_of_another_version_asks_for_nothing() -> None:
    live = bounded()
    bad = Quality("accuracy", True, 0.1, 0.1, 0.1, 300)
    assert live.tell(WindowScored(live.now, "v0", 5_000, bad, ("a",))) == []
    assert live.state.alerts == ()


def test_no_score_asks_for_nothing() -> None:
    assert bounded().window(5_000, None) == []


def test_warm_up_counts_labels_since_the_last_retrain() -> None:
    live = bounded(warm_up_labels=200)
    assert live.window(199, 0.5) == []
    assert len(live.window(200, 0.5)) == 1
    live.trained().judged("fail")
    live.later(1_000)
    assert live.window(399, 0.5) == []
    assert len(live.window(400, 0.5)) == 1


def test_new_labels() -> None:
    live = Live({"triggers": {"new_labels": 50}, "warm_up_labels": 1_000})
    assert live.tick(n_labels=49) == []
    [submit] = live.tick(n_labels=50)
    assert isinstance(submit, SubmitRetrain)
    assert submit.reason == "labels"


def test_drift_tells_by_default_and_retrains_only_where_asked() -> None:
    told = Live()
    assert told.window(900, 0.9, "distance") == []
    assert [alert.key for alert in told.state.unsent] == ["flights/drift/v1/2026-01-01"]
    off = Live({"triggers": {"drift": "off"}})
    assert off.window(900, 0.9, "distance") == []
    assert off.state.unsent == ()
    [submit] = Live({"triggers": {"drift": "retrain"}}).window(900, 0.9, "distance")
    assert isinstance(submit, SubmitRetrain)
    assert submit.evidence.drifted == ("distance",)


def test_a_schedule_comes_round_and_is_made_up_for_once() -> None:
    live = Live({"triggers": {"schedule": "0 * * * *"}})
    assert live.tick(3_599) == []
    [submit] = live.tick(1)
    assert isinstance(submit, SubmitRetrain)
    assert submit.evidence.scheduled_for == START + timedelta(hours=1)
    live.trained().judged("fail")
    [again] = live.tick(5 * 3_600)
    assert isinstance(again, SubmitRetrain)
    live.trained().judged("fail")
    assert live.tick(120) == []


def test_a_new_schedule_counts_from_when_it_was_configured() -> None:
    live = Live()
    month = START + timedelta(days=30)
    live.settings = RetrainingSettings.model_validate({"triggers": {"schedule": "0 3 * * *"}})
    live.tell(ControllerStarted(month, 8, "v1", 2, "0 3 * * *", controller=8))
    live.now = month
    assert live.tell(Ticked(live.later(60), controller=8)) == []
    assert len(live.tell(Ticked(live.later(3 * 3_600), controller=8))) == 1


def test_a_schedule_missed_while_no_controller_ran_is_made_up_for() -> None:
    live = Live({"triggers": {"schedule": "0 3 * * *"}})
    later = START + timedelta(days=2)
    live.tell(ControllerStarted(later, 8, "v1", 2, "0 3 * * *", controller=8))
    assert len(live.tell(Ticked(later, controller=8))) == 1


def test_a_person_waits_for_the_cool_down_but_for_no_cap_and_no_mode() -> None:
    live = Live({"mode": "manual", "max_per_day": 1, "cool_down_s": 100}).asked()
    assert isinstance(live.state.phase, Retraining)
    live.trained().judged("fail")
    live.tell(RetrainRequested(live.now, "bob", "once more"))
    assert live.tick(99) == []
    [submit] = live.tick(1)
    assert isinstance(submit, SubmitRetrain)
    assert (submit.evidence.by, submit.evidence.note) == ("bob", "once more")


def test_a_request_read_twice_is_one() -> None:
    live = Live({"cool_down_s": 0})
    asked = RetrainRequested(live.now, "ann")
    live.tell(asked)
    live.tick()
    live.tell(asked)
    live.trained().judged("fail")
    assert live.tick(100) == []


def test_by_hand_only_in_manual_mode() -> None:
    live = bounded(mode="manual")
    assert live.window(900, 0.3) == []
    assert [alert.key for alert in live.state.unsent] == ["flights/quality/v1/2026-01-01"]


def test_nothing_is_retrained_without_a_champion() -> None:
    settings = RetrainingSettings.model_validate({"triggers": {"new_labels": 1}})
    state, _ = step(State("flights"), ControllerStarted(START, 1), settings)
    assert step(state, Ticked(START, 100), settings) == (state, ())


def test_the_cap_holds_for_a_day_and_is_told_once() -> None:
    live = Live({"triggers": {"new_labels": 1}, "max_per_day": 2, "cool_down_s": 0})
    for n_labels in (10, 20):
        assert len(live.tick(60, n_labels)) == 1
        live.trained().judged("fail")
    assert live.tick(60, 30) == []
    assert live.tick(60, 40) == []
    assert [key for key in live.state.alerts if "/cap/" in key] == ["flights/cap/2026-01-01"]
    assert len(live.tick(86_400, 50)) == 1


def test_the_budget_of_cpu_seconds_holds_for_a_day() -> None:
    live = Live({"triggers": {"new_labels": 1}, "max_cpu_s_per_day": 100, "cool_down_s": 0})
    for n_labels, cpu_s in ((10, 60.0), (20, 40.0)):
        assert len(live.tick(60, n_labels)) == 1
        live.tell(RetrainSubmitted(live.now, live.decision, controller=EPOCH))
        made = RetrainSucceeded(live.now, live.decision, "v2", "d-2", cost_cpu_s=cpu_s, controller=EPOCH)
        live.tell(made)
        live.judged("fail")
    assert live.tick(60, 30) == []
    [told] = [fact for fact in live.ledger if isinstance(fact, AlertRaised) and "/cap/" in fact.key]
    assert "100 CPU seconds were spent" in told.text
    live.tell(RetrainRequested(live.now, "ann"))
    assert isinstance(live.tick(60, 30)[0], SubmitRetrain)
    live.trained().judged("fail")
    assert len(live.tick(86_400, 50)) == 1


def wear(live: Live, marginal: float, n_labels: int = 500) -> list[Action]:
    """Return what follows where the champion's decay comes to that loss."""
    seen = Decay(9_000, 0.1, 30.0, 1_000, 0.2, 0.1, marginal, 0.0)
    return live.tell(WindowScored(live.now, live.state.champion or "", n_labels, decay=seen))


def test_a_version_is_kept_until_its_loss_is_worth_a_retrain() -> None:
    live = Live({"triggers": {"cost": {"loss": 0.5, "retrain": 40}}, "cool_down_s": 0})
    assert wear(live, 79.9) == []
    assert wear(live, 80.0, n_labels=199) == [], "warm-up"
    [submit] = wear(live, 90.0)
    assert isinstance(submit, SubmitRetrain)
    assert submit.reason == "cost" and submit.evidence.cost is not None
    found = submit.evidence.cost
    assert (found.at_stake, found.needed, found.gain) == (45.0, 40.0, 5.0)
    assert "a retrain is worth 45 and costs 40" in found.text


def test_what_a_retrain_must_be_worth_doubles_with_each_that_did_not_help() -> None:
    live = Live({"triggers": {"cost": {"loss": 1, "retrain": 100}}, "cool_down_s": 0})
    for n, needed in enumerate((100, 200, 400), start=1):
        assert wear(live, needed - 1, 1_000 * n) == []
        assert len(wear(live, needed, 1_000 * n)) == 1
        live.trained().judged("inconclusive")
    live.tell(RetrainRequested(live.now, "ann"))
    live.tick()
    live.trained().judged("pass")
    live.tell(Promoted(live.now, live.decision, "v2", 9, controller=EPOCH))
    assert len(wear(live, 100, 9_000)) == 1


def test_cost_counts_among_the_triggers_that_are_needed() -> None:
    triggers = {"cost": {"loss": 1, "retrain": 50}, "new_labels": 400, "harm": "off", "need": "all"}
    live = Live({"triggers": triggers})
    assert wear(live, 60, n_labels=399) == []
    assert wear(live, 49, n_labels=400) == []
    assert len(wear(live, 60, n_labels=400)) == 1


def test_the_budget_of_gpu_seconds_is_one_of_its_own() -> None:
    live = Live({"triggers": {"new_labels": 1}, "max_gpu_s_per_day": 100, "cool_down_s": 0})
    for n_labels in (10, 20):
        assert len(live.tick(60, n_labels)) == 1
        live.tell(RetrainSubmitted(live.now, live.decision, controller=EPOCH))
        costs = {"cost_cpu_s": 900.0, "cost_gpu_s": 50.0}
        live.tell(RetrainSucceeded(live.now, live.decision, "v2", "d-2", **costs, controller=EPOCH))
        live.judged("fail")
    assert live.tick(60, 30) == []
    [told] = [fact for fact in live.ledger if isinstance(fact, AlertRaised) and "/cap/" in fact.key]
    assert "100 GPU seconds were spent, and retraining.max_gpu_s_per_day is 100" in told.text
    assert len(live.tick(86_400, 50)) == 1


@pytest.mark.parametrize(
    ("triggers", "action"),
    [
        ({"quality_bound": 0.8}, "retrain"),
        ({"quality_bound": 0.8, "actions": {"quality": "rollback"}}, "rollback"),
        ({"new_labels": 300, "actions": {"labels": "refit", "quality": "rollback"}}, "refit"),
        ({"drift": "refit"}, "refit"),
    ],
)
def test_a_trigger_chooses_what_follows(triggers: Mapping[str, Any], action: str) -> None:
    live = Live({"triggers": triggers})
    [submit] = live.window(300, 0.5, "age")
    assert isinstance(submit, SubmitRetrain)
    [decided] = [fact for fact in live.ledger if isinstance(fact, RetrainDecided)]
    assert isinstance(live.state.phase, Retraining)
    assert decided.action == live.state.phase.action == action


def test_harm_may_ask_for_less_than_a_search() -> None:
    live = Live({"triggers": {"harm": "refit"}})
    harm = Harm(0.3, 0.1, 0.12, 900)
    live.tell(WindowScored(live.now, "v1", 500, harm=harm))
    assert isinstance(live.state.phase, Retraining) and live.state.phase.action == "refit"


def test_a_trigger_that_only_alerts_is_told_once_a_day_and_counts_for_nothing() -> None:
    triggers = {
        "new_labels": 300,
        "cost": {"loss": 1, "retrain": 50},
        "quality_bound": 0.8,
        "actions": {"labels": "alert", "cost": "alert", "quality": "alert"},
    }
    live = Live({"triggers": triggers})
    assert wear(live, 60) == wear(live, 60) == live.window(600, 0.5) == []
    assert set(live.state.alerts) == {f"flights/{one}/2026-01-01" for one in ("cost", "labels")} | {
        "flights/quality/v1/2026-01-01"
    }
    assert live.settings.triggers.n_set == 1, "harm"


def test_a_person_may_ask_for_any_action() -> None:
    live = Live()
    live.tell(RetrainRequested(live.now, "ann", action="rollback"))
    live.tick()
    assert isinstance(live.state.phase, Retraining) and live.state.phase.action == "rollback"


@pytest.mark.parametrize(("need", "alone", "two"), [("any", 1, 1), (2, 0, 1), ("all", 0, 0)])
def test_several_triggers_may_be_needed_at_once(need: str | int, alone: int, two: int) -> None:
    triggers = {"new_labels": 100, "quality_bound": 0.8, "drift": "retrain", "harm": "off", "need": need}
    settings = {"triggers": triggers, "warm_up_labels": 10, "cool_down_s": 0}
    assert len(Live(settings).window(50, 0.5)) == alone
    assert len(Live(settings).window(200, 0.5)) == two
    assert len(Live(settings).window(200, 0.5, "age")) == 1


def test_failures_in_a_row_double_the_rest_and_their_labels_stay_new() -> None:
    live = Live({"triggers": {"new_labels": 10}, "cool_down_s": 60})
    for rest in (120, 240, 480):
        assert len(live.tick(0, 10)) == 1
        failed = RetrainFailed(live.later(10), live.decision, "no disk", controller=EPOCH)
        assert live.tell(failed) == []
        assert live.tick(rest - 1, 10) == []
        live.later(1)
    assert live.state.n_failures == 3
    live.tick(0, 10)
    live.trained()
    assert live.state.n_failures == 0


def test_retrains_that_do_not_help_rest_longer_from_the_second_on() -> None:
    live = Live({"triggers": {"new_labels": 10}, "cool_down_s": 60, "max_per_day": 100})
    n_labels = 0
    for rest in (60, 120, 240, 480):
        n_labels += 10
        assert len(live.tick(0, n_labels)) == 1
        live.trained().judged("inconclusive")
        assert live.tick(rest - 1, n_labels + 10) == []
        live.later(1)
    live.tick(0, n_labels + 10)
    live.trained().judged("pass")
    live.tell(Promoted(live.now, live.decision, "v2", 9, controller=EPOCH))
    assert live.state.n_unhelpful == 0


def test_a_retrain_that_takes_too_long_is_stopped_and_at_last_lost() -> None:
    live = Live({"job_timeout_s": 600}).asked()
    live.tell(RetrainSubmitted(live.now, FIRST, controller=EPOCH))
    assert live.tick(598) == []
    assert live.tick(2) == [StopRetrain(FIRST)]
    assert live.tick(60) == []
    assert live.tick(60) == [StopRetrain(FIRST)]
    assert live.state.phase == Watching()
    assert isinstance(live.ledger[-1], RetrainLost)


def test_a_retrain_that_ends_while_it_is_stopped_counts() -> None:
    live = Live({"job_timeout_s": 600}).asked()
    live.tick(700)
    live.trained()
    assert isinstance(live.state.phase, Gating)


def test_a_gate_that_does_not_answer_is_inconclusive() -> None:
    live = Live({"job_timeout_s": 600}).asked().trained()
    assert live.tick(600) == [Reject(FIRST, "v2", "the gate took too long")]


def test_a_retrain_that_leads_to_the_champion_ends_there() -> None:
    live = Live().asked()
    made = RetrainSucceeded(live.now, FIRST, "v1", "d-1", controller=EPOCH)
    assert live.tell(made) == []
    assert live.state.phase == Watching()
    assert live.ledger[-1] == GateJudged(
        live.now,
        FIRST,
        "v1",
        "v1",
        "inconclusive",
        0,
        reasons=("the retrain led to the champion itself",),
        controller=EPOCH,
    )


def test_a_person_approves() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    until = live.now + timedelta(seconds=86_405)
    assert live.judged("pass") == [AskApproval(FIRST, "v2", until)]
    assert live.tell(Approved(live.now, "v7", "ann")) == []
    assert live.tell(Approved(live.now, "v2", "ann")) == [Promote(FIRST, "v2", "v1")]


def test_a_person_rejects() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    live.judged("pass")
    assert live.tell(Rejected(live.now, "v2", "ann", "not now")) == [Reject(FIRST, "v2", "not now")]


@pytest.mark.parametrize(("default", "champion"), [("reject", Watching), ("approve", Promoting)])
def test_nobody_answers(default: str, champion: type) -> None:
    live = Live({"mode": "approve", "approval": {"timeout_s": 60, "default": default}}).asked().trained()
    live.judged("pass")
    assert live.tick(59) == []
    assert len(live.tick(1)) == 1
    assert isinstance(live.state.phase, champion)


def test_a_policy_that_turned_auto_lets_what_waits_pass() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    live.judged("pass")
    live.settings = RetrainingSettings(mode="auto")
    assert resume(live.state, live.settings) == ()
    assert live.tick() == [Promote(FIRST, "v2", "v1")]
    assert live.ledger[-1] == Approved(live.now, "v2", POLICY, "it passed its gate", controller=EPOCH)


def test_a_promotion_that_fails_leaves_the_champion() -> None:
    live = Live().asked().trained()
    live.judged("pass")
    failed = PromotionFailed(live.now, FIRST, "v2", "a golden row differs", controller=EPOCH)
    assert live.tell(failed) == [Reject(FIRST, "v2", "a golden row differs")]
    assert (live.state.champion, live.state.phase) == ("v1", Watching())


def test_a_promotion_never_confirmed_ends_by_what_the_registry_says() -> None:
    for moved in (False, True):
        live = Live().asked().trained()
        live.judged("pass")
        if moved:
            live.tell(ChampionChanged(live.now, "v2", 9))
        live.tick(2_000)
        assert live.state.phase == Watching()
        assert live.state.champion == ("v2" if moved else "v1")
        assert isinstance(live.ledger[-1], Promoted if moved else PromotionFailed)


def test_another_champion_has_the_challenger_judged_again() -> None:
    live = Live().asked().trained()
    assert live.tell(ChampionChanged(live.now, "v5", 9)) == [JudgeChallenger(FIRST, "v2", "v5")]
    assert live.judged("pass", over="v1") == []
    assert live.judged("pass", over="v5") == [Promote(FIRST, "v2", "v5")]


def test_another_champion_takes_back_the_question_for_approval() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    live.judged("pass")
    assert live.tell(RolledBack(live.now, "v0", 9, "ann")) == [JudgeChallenger(FIRST, "v2", "v0")]
    assert live.tell(Approved(live.now, "v2", "ann")) == []


def test_a_person_who_promotes_the_challenger_ends_the_decision() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    live.judged("pass")
    assert live.tell(ChampionChanged(live.now, "v2", 9)) == []
    assert (live.state.phase, live.state.champion) == (Watching(), "v2")


def test_an_older_release_does_not_undo_a_newer_one() -> None:
    live = Live()
    live.tell(ChampionChanged(live.now, "v5", 9))
    live.tell(ChampionChanged(live.now, "v4", 8))
    live.tell(RolledBack(live.now, "v4", 8, "ann"))
    assert live.state.champion == "v5"


def test_after_a_rollback_there_is_a_rest() -> None:
    live = bounded(cool_down_s=600)
    live.tell(RolledBack(live.later(60), "v0", 9, "ann"))
    live.later(599)
    assert live.window(900, 0.5) == []
    live.later(1)
    assert len(live.window(900, 0.5)) == 1


def test_a_replaced_controller_is_not_heard() -> None:
    live = Live().asked()
    live.tell(ControllerStarted(live.now, 8, "v1", 2, controller=8))
    before = live.state
    old = RetrainFailed(live.now, FIRST, "x", controller=EPOCH)
    assert step(before, old, live.settings) == (before, ())
    assert step(before, Ticked(live.later(9_999), controller=EPOCH), live.settings) == (before, ())
    assert fold_facts([*live.ledger, old], "flights") == before


@pytest.mark.parametrize("epoch", [1, EPOCH])
def test_a_controller_needs_a_newer_epoch(epoch: int) -> None:
    live = Live()
    before = live.state
    live.tell(ControllerStarted(live.now, epoch, "v9", 99, controller=epoch))
    assert live.state == before


def test_resume_in_each_phase() -> None:
    live = Live({"mode": "approve"})
    assert resume(live.state, live.settings) == ()
    live.asked()
    [submit] = resume(live.state, live.settings)
    assert isinstance(submit, SubmitRetrain)
    live.tell(RetrainSubmitted(live.now, FIRST, controller=EPOCH))
    assert resume(live.state, live.settings) == (FollowRetrain(FIRST),)
    live.trained()
    assert resume(live.state, live.settings) == (JudgeChallenger(FIRST, "v2", "v1"),)
    live.judged("pass")
    [ask] = resume(live.state, live.settings)
    assert isinstance(ask, AskApproval)
    live.tell(Approved(live.now, "v2", "ann"))
    assert resume(live.state, live.settings) == (Promote(FIRST, "v2", "v1"),)


def test_an_alert_is_sent_until_it_is_known_to_be() -> None:
    live = bounded(mode="manual")
    live.window(900, 0.3)
    [alert] = resume(live.state, live.settings)
    assert isinstance(alert, SendAlert)
    assert alert.text == "v1 has the live accuracy 0.3, surely beyond the bound 0.8"
    live.tell(AlertSent(live.now, alert.key, controller=EPOCH))
    assert resume(live.state, live.settings) == ()
    live.window(950, 0.3)
    assert resume(live.state, live.settings) == ()
    live.later(86_400)
    live.window(950, 0.3)
    assert len(resume(live.state, live.settings)) == 1


def test_a_clock_an_hour_back_makes_no_second_retrain() -> None:
    live = Live({"triggers": {"schedule": "0 * * * *"}}).asked().trained()
    live.judged("fail")
    live.tick(3_600)
    n_before = live.state.n_decisions
    live.trained().judged("fail")
    for _ in range(50):
        assert live.tick(-72) == []
    assert live.state.n_decisions == n_before


def test_a_clock_that_was_a_year_ahead_does_not_stop_the_controller_for_a_year() -> None:
    live = Live({"triggers": {"schedule": "0 * * * *"}})
    live.tick(86_400 * 365)
    live.trained().judged("fail")
    assert live.tick(-86_400 * 365) == []
    assert live.tick(60) == []
    assert len(live.tick(3_600)) == 1


def test_a_job_that_is_under_way_when_the_clock_goes_back_still_times_out() -> None:
    live = Live({"job_timeout_s": 600}).asked()
    live.tick(-86_400)
    assert isinstance(live.state.phase, Retraining)
    assert live.tick(600) == [StopRetrain(FIRST)]


def test_observations_are_not_recorded() -> None:
    live = Live()
    n_before = len(live.ledger)
    for _ in range(100):
        live.window(900, 0.9)
        live.tick()
    assert len(live.ledger) == n_before


def test_what_was_decided_folds_without_the_settings_it_was_decided_by() -> None:
    live = bounded()
    live.window(900, 0.5)
    live.trained()
    live.judged("pass")
    assert any(isinstance(fact, RetrainDecided) for fact in live.ledger)
    assert isinstance(fold_facts(live.ledger, "flights").phase, Promoting)


def test_approval_is_not_given_before_it_is_asked_for() -> None:
    live = Live({"mode": "approve"}).asked().trained()
    live.tell(Approved(live.now, "v2", "ann"))
    live.judged("pass")
    assert isinstance(live.state.phase, AwaitingApproval)


def test_a_month_of_minutes() -> None:
    live = Live({"triggers": {"schedule": "0 3 * * *"}, "cool_down_s": 0})
    state, n_submitted = live.state, 0
    for minute in range(30 * 24 * 60):
        at = START + timedelta(minutes=minute)
        state, actions = step(state, Ticked(at, controller=EPOCH), live.settings)
        if any(isinstance(action, SubmitRetrain) for action in actions):
            n_submitted += 1
            failed = RetrainFailed(at, state.decision or "", "no", controller=EPOCH)
            state, _ = step(state, failed, live.settings)
    assert n_submitted == 30


HARM = Harm(loss=0.3, at_release=0.1, bound=0.12, n_labels=900)


def harmed(live: Live, harm: Harm | None = HARM, n_labels: int = 900) -> list[Action]:
    return live.tell(WindowScored(live.now, live.state.champion or "", n_labels, None, (), harm))


def test_harm_alone_retrains_and_says_why() -> None:
    live = Live()
    assert harmed(live, None) == []
    [submit] = harmed(live)
    assert isinstance(submit, SubmitRetrain)
    assert (submit.reason, submit.evidence.harm) == ("harm", HARM)
    assert any("0.1 at release" in fact.text for fact in live.ledger if isinstance(fact, AlertRaised))


@pytest.mark.parametrize(
    ("settings", "harm", "n_alerts"),
    [
        ({"triggers": {"harm": "alert"}}, HARM, 1),
        ({"triggers": {"harm": "off"}}, HARM, 0),
        ({}, replace(HARM, slices=("colour = red",)), 1),
        ({"warm_up_labels": 901}, HARM, 1),
    ],
)
def test_harm_that_is_only_told(settings: dict[str, Any], harm: Harm, n_alerts: int) -> None:
    live = Live(settings)
    assert harmed(live, harm) == []
    assert sum(isinstance(fact, AlertRaised) for fact in live.ledger) == n_alerts
