"""Whatever happens in whatever order: the promises that the controller keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from raypipe.control.actions import (
    Action,
    EndRollout,
    FollowRetrain,
    JudgeChallenger,
    Promote,
    Record,
    SendAlert,
    SetCanary,
    StopRetrain,
    SubmitRetrain,
    WatchGate,
    WatchRollout,
)
from raypipe.control.events import (
    AlertSent,
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Fact,
    GateContinued,
    GateJudged,
    GateScored,
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
    RolloutScored,
    Ticked,
    WindowScored,
)
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.happening import Verdict
from raypipe.control.ledger import fold_facts
from raypipe.control.receipts import receipts
from raypipe.control.rollout_events import CanaryJudged, CanarySet, RolloutEnded, ShadowJudged
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.state import AwaitingLabels, Canarying, State, latest_time
from raypipe.control.step import resume, step
from raypipe.policy.config import RetrainAction, RetrainingSettings
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets
from raypipe.stats.gains import Gains
from raypipe.training.compare import Comparison

START = datetime(2026, 1, 1, tzinfo=UTC)
COOL_DOWN_S = 300.0
MAX_PER_DAY = 6
VERDICTS: dict[str, Verdict] = {
    "made": "pass",
    "failed": "fail",
    "lost": "inconclusive",
}
OUTCOMES = ("made", "made", "made", "failed", "lost", "open")
ACTIONS = get_args(RetrainAction)
PEOPLE = (RetrainRequested, Approved, Rejected, RolledBack, ChampionChanged)


def shown(state: State, outcome: str) -> RolloutEvidence:
    """Return what live traffic shows: that a challenger is fine, that it does harm, or too little."""
    fine, n = outcome == "made", 0 if outcome == "lost" else 400
    shadow = ShadowEvidence(
        Bets.none(0.01),
        Bets.of([0.5 if fine else 0.9] * n, 0.5),
        Bets.of([0.7 if fine else 0.3] * n, 0.49),
        n_rows=n,
    )
    phase, found = state.phase, RolloutEvidence(Baseline(n, n / 10), shadow)
    if not isinstance(phase, Canarying) or phase.epoch is None:
        return found
    treated = np.arange(n) < (20 if fine else 300)
    losses = Arms.of(np.ones(n), treated, phase.weight, tolerance=2.0)
    return replace(found, canary={phase.epoch: CanaryEvidence(Bets.none(0.01), Arms(2.0), losses)})


def scored_later(version: str, champion: str, outcome: str) -> GateEvidence:
    """Return what rows show that were labelled after the first look: better, worse, or nothing yet."""
    gain = {"made": 0.5, "failed": -0.5}.get(outcome, 0.0)
    share = np.full(100, (1 + gain) / 2)
    found = Comparison("auc", champion, version, 200, 0.7, 0.7 + gain / 2, gain, None, None)
    return GateEvidence(Gains(Bets.of(share, 0.5), Bets.of(1 - share, 0.5), 200), found)


class Controller(RuleBasedStateMachine):
    """A controller, a shell that may die anywhere, people, a clock that jumps, and messages that repeat."""

    @initialize(
        mode=st.sampled_from(["auto", "approve", "manual"]),
        default=st.sampled_from(["reject", "approve"]),
        schedule=st.sampled_from([None, "*/30 * * * *"]),
        steps=st.sampled_from([(), ("shadow",), ("canary",), ("shadow", "canary")]),
        actions=st.fixed_dictionaries({name: st.sampled_from(ACTIONS) for name in ("labels", "schedule")}),
    )
    def begin(
        self,
        mode: str,
        default: str,
        schedule: str | None,
        steps: tuple[str, ...],
        actions: dict[str, str],
    ) -> None:
        self.settings = RetrainingSettings.model_validate(
            {
                "mode": mode,
                "triggers": {
                    "schedule": schedule,
                    "quality_bound": 0.8,
                    "new_labels": 400,
                    "drift": "retrain",
                    "actions": actions,
                },
                "cool_down_s": COOL_DOWN_S,
                "max_per_day": MAX_PER_DAY,
                "job_timeout_s": 900,
                "approval": {"timeout_s": 600, "default": default},
                "gate": {"deadline_s": 600},
                "rollout": {name: {"deadline_s": 600, "hold_s": 0} for name in steps},
            }
        )
        self.now, self.n_labels, self.epoch, self.n_versions = START, 0, 1, 1
        self.state, self.ledger, self.heard = State("p"), list[Fact](), list[Event]()
        self.owed: list[Action] = []
        self.elapsed_s, self.ended_s, self.decided_s = 0.0, -COOL_DOWN_S, list[float]()
        self.jobs: dict[str, str] = {}
        self.passed: set[tuple[str, str | None]] = set()
        self.approved: set[str] = set()
        self.rolled_out: dict[str, set[str]] = {"shadow": set(), "canary": set()}
        self.tell(self.started("v1", 1))

    def started(self, champion: str | None, champion_epoch: int) -> ControllerStarted:
        schedule = self.settings.triggers.schedule
        return ControllerStarted(
            self.now, self.epoch, champion, champion_epoch, schedule, controller=self.epoch
        )

    def tell(self, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, PEOPLE) and event.controller is None:
            self.ledger.append(event)
        before = self.state
        if isinstance(event, Approved):
            self.approved.add(event.version)
            if isinstance(before.phase, AwaitingLabels) and before.phase.version == event.version:
                # A person may let it through before its gate has a verdict.
                self.passed.add((event.version, before.phase.champion))
        self.state, actions = step(before, event, self.settings)
        if before.decision is not None and self.state.decision is None:
            self.ended_s = self.elapsed_s
        for action in actions:
            self.check(before, action)
            self.owed.append(action)
        self.owed = [action for action in self.owed if not self.recorded(action)]

    def look(self, seen: Event) -> None:
        """Do what is owed before looking again, as a shell does; what does not answer stays under way."""
        for action in self.owed[:]:
            self.owed.remove(action)
            self.act(action, "nothing")
        self.tell(seen)

    def recorded(self, action: Action) -> bool:
        if isinstance(action, Record):
            self.ledger.append(action.fact)
        return isinstance(action, Record)

    def check(self, before: State, action: Action) -> None:
        match action:
            case Record(GateJudged(verdict="pass") as judged):
                self.passed.add((judged.version, judged.champion))
            case Record(Approved(by="policy", version=version)):
                by_default = self.settings.approval.default == "approve"
                assert self.settings.mode == "auto" or by_default
                self.approved.add(version)
            case Record(RetrainDecided() as decided):
                self.check_decided(before, decided)
            case Record(ShadowJudged(verdict="pass", version=version)):
                self.rolled_out["shadow"].add(version)
            case Record(CanaryJudged(verdict="pass", version=version)):
                self.rolled_out["canary"].add(version)
            case SetCanary(version=version, champion=champion):
                self.check_released(version, champion, ("shadow",))
            case Promote(version=version, champion=champion):
                self.check_released(version, champion, ("shadow", "canary"))
            case _:
                pass

    def check_released(self, version: str, champion: str | None, steps: tuple[str, ...]) -> None:
        assert (version, champion) in self.passed
        assert version in self.approved
        for step_ in steps:
            is_asked_for = getattr(self.settings.rollout, step_) is not None
            assert not is_asked_for or version in self.rolled_out[step_]

    def check_decided(self, before: State, decided: RetrainDecided) -> None:
        """Count in time that really went by, whatever the clock showed."""
        assert before.champion is not None
        assert self.settings.mode != "manual" or decided.trigger == "hand"
        assert not before.decision
        assert self.elapsed_s >= self.ended_s + COOL_DOWN_S
        recent = [at for at in self.decided_s if at > self.elapsed_s - 86_400]
        assert decided.trigger == "hand" or len(recent) < MAX_PER_DAY
        self.decided_s.append(self.elapsed_s)
        triggers = self.settings.triggers
        by_hand = decided.trigger == "hand"
        assert by_hand or decided.action == triggers.action_of(decided.trigger)
        assert not by_hand or before.requested is None or decided.action == before.requested.action

    @rule(
        accuracy=st.sampled_from([0.5, 0.7]),
        outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=4, max_size=4),
    )
    def quality_falls_and_work_answers(self, accuracy: float, outcomes: list[str]) -> None:
        self.time_goes_on(1_000)
        self.window_is_scored(500, accuracy, (), own=True)
        for outcome in outcomes:
            self.work_answers(outcome)

    @rule(seconds=st.sampled_from([1, 60, 300, 1_000, 7_200]))
    def time_goes_on(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.elapsed_s += seconds
        self.look(Ticked(self.now, self.n_labels, controller=self.epoch))

    @rule()
    def clock_goes_back_an_hour(self) -> None:
        self.now -= timedelta(hours=1)
        self.look(Ticked(self.now, self.n_labels, controller=self.epoch))

    @rule(
        n_new=st.integers(0, 500),
        accuracy=st.none() | st.floats(0.5, 1.0),
        drifted=st.sampled_from([(), ("a",)]),
        own=st.booleans(),
        harm=st.sampled_from([None, None, Harm(0.3, 0.1, 0.12, 900), Harm(0.3, 0.1, 0.12, 90, ("a = b",))]),
    )
    def window_is_scored(
        self,
        n_new: int,
        accuracy: float | None,
        drifted: tuple[str, ...],
        own: bool,
        harm: Harm | None = None,
    ) -> None:
        self.n_labels += n_new
        quality = Quality("accuracy", True, accuracy, None, None, 100) if accuracy else None
        version = self.state.champion if own else "v0"
        self.look(
            WindowScored(
                self.now, version or "v0", self.n_labels, quality, drifted, harm, controller=self.epoch
            )
        )

    @rule(note=st.sampled_from(["", "please"]), action=st.sampled_from(ACTIONS))
    def person_asks(self, note: str, action: RetrainAction) -> None:
        self.tell(RetrainRequested(self.now, "ann", note, action))

    @rule(yes=st.booleans(), n=st.integers(1, 6))
    def person_answers(self, yes: bool, n: int) -> None:
        answer = Approved if yes else Rejected
        self.tell(answer(self.now, f"v{n}", "ann"))

    @rule(n=st.integers(1, 6), back=st.booleans())
    def person_releases(self, n: int, back: bool) -> None:
        self.epoch_of_release = max(self.state.champion_epoch, self.epoch) + 1
        if back:
            self.tell(RolledBack(self.now, f"v{n}", self.epoch_of_release, "ann"))
        else:
            self.tell(ChampionChanged(self.now, f"v{n}", self.epoch_of_release))

    @rule(outcome=st.sampled_from(OUTCOMES))
    def work_answers(self, outcome: str) -> None:
        """Let the owed work end; where nothing is owed but a job or a gate is under way, let that end."""
        owed, self.owed = self.owed or list(resume(self.state, self.settings)), []
        for action in owed:
            self.act(action, outcome)

    def act(self, action: Action, outcome: str) -> None:
        match action:
            case SubmitRetrain(decision):
                self.jobs.setdefault(decision, "running")
                running = [job for job, state in self.jobs.items() if state == "running"]
                assert running == [decision]
                self.tell(RetrainSubmitted(self.now, decision, controller=self.epoch))
            case StopRetrain(decision):
                self.end(decision, outcome)
                self.jobs[decision] = "stopped"
            case FollowRetrain(decision):
                self.end(decision, outcome)
            case JudgeChallenger(decision, version, champion) if outcome == "open":
                self.tell(GateContinued(self.now, decision, version, champion, 200, controller=self.epoch))
            case JudgeChallenger(decision, version, champion) if outcome != "nothing":
                verdict: Verdict = VERDICTS[outcome]
                self.tell(
                    GateJudged(self.now, decision, version, champion, verdict, 200, controller=self.epoch)
                )
            case WatchGate(decision, version, champion) if outcome != "nothing":
                found = scored_later(version, champion or "", outcome)
                self.tell(GateScored(self.now, decision, found, controller=self.epoch))
            case Promote(decision, version):
                self.promote(decision, version, outcome)
            case WatchRollout(decision) if outcome != "nothing":
                seen = shown(self.state, outcome)
                self.tell(RolloutScored(self.now, decision, seen, controller=self.epoch))
            case SetCanary(decision, version, _, number):
                self.epoch_of_release = max(self.state.champion_epoch, self.epoch) + 1
                epoch = self.epoch_of_release
                self.tell(CanarySet(self.now, decision, version, number, epoch, controller=self.epoch))
            case EndRollout(decision):
                self.tell(RolloutEnded(self.now, decision, controller=self.epoch))
            case SendAlert(key) if outcome != "lost":
                self.tell(AlertSent(self.now, key, controller=self.epoch))
            case _:
                pass

    def end(self, decision: str, outcome: str) -> None:
        if outcome == "nothing" or self.jobs.get(decision) != "running":
            return
        self.jobs[decision] = outcome
        if outcome in ("made", "open"):
            self.n_versions += 1
            made = RetrainSucceeded(self.now, decision, f"v{self.n_versions}", "d-1", controller=self.epoch)
            self.tell(made)
        elif outcome == "failed":
            self.tell(RetrainFailed(self.now, decision, "no disk", controller=self.epoch))
        else:
            self.tell(RetrainLost(self.now, decision, controller=self.epoch))

    def promote(self, decision: str, version: str, outcome: str) -> None:
        if outcome == "made":
            epoch = max(self.state.champion_epoch, self.epoch) + 1
            self.tell(Promoted(self.now, decision, version, epoch, controller=self.epoch))
        elif outcome == "failed":
            self.tell(PromotionFailed(self.now, decision, version, "NaN", controller=self.epoch))

    @rule()
    def controller_dies_and_another_takes_over(self) -> None:
        self.epoch = max(self.state.champion_epoch, self.epoch) + 1
        self.state = fold_facts(self.ledger, "p")
        self.owed = []
        self.tell(self.started(None, 0))
        self.owed += [action for action in resume(self.state, self.settings) if action not in self.owed]

    @rule(data=st.data())
    def something_is_heard_twice(self, data: st.DataObject) -> None:
        """What people write is read from the ledger once and in order; all else may repeat."""
        again = [event for event in self.heard[-8:] if event.controller is not None]
        if not again:
            return
        event = data.draw(st.sampled_from(again))
        n_before, phase = self.state.n_decisions, self.state.phase
        if not isinstance(event, (WindowScored, Ticked, RolloutScored, GateScored)):
            self.state, actions = step(self.state, event, self.settings)
            assert not any(isinstance(action, (SubmitRetrain, Promote)) for action in actions) or (
                self.state.phase != phase
            )
            self.owed += [action for action in actions if not self.recorded(action)]
        assert self.state.n_decisions == n_before

    @rule()
    def left_alone_every_retrain_has_a_verdict(self) -> None:
        """Were the shell never to answer again, time alone ends what is under way."""
        state, now = self.state, max(self.now, latest_time(self.state) or self.now)
        facts = list(self.ledger)
        quiet = RetrainingSettings.model_validate(
            {**self.settings.model_dump(), "triggers": {"drift": "off"}}
        )
        pending = state.n_decisions
        for _ in range(100):
            now += timedelta(seconds=60)
            state, actions = step(state, Ticked(now, None, controller=self.epoch), quiet)
            facts += [action.fact for action in actions if isinstance(action, Record)]
        ended = receipts(facts, "p")[:pending]
        assert all(receipt.ending != "open" for receipt in ended)

    @invariant()
    def the_state_folds_from_the_ledger_alone(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert fold_facts(self.ledger, "p") == self.state

    @invariant()
    def one_at_a_time(self) -> None:
        if hasattr(self, "ledger"):
            known = receipts(self.ledger, "p")
            assert sum(receipt.ending == "open" for receipt in known) <= 1
            assert [receipt.decision for receipt in known] == [
                f"p-retrain-{n}" for n in range(1, self.state.n_decisions + 1)
            ]


TestController = Controller.TestCase
TestController.settings = hypothesis_settings(max_examples=60, stateful_step_count=50, deadline=None)
